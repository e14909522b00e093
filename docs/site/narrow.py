"""How the site's pages lie on a telephone, seen by Chromium."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from html import unescape
from pathlib import Path

WIDTH = 360
"""Pixels of a narrow telephone."""

# One frame after another, since a browser's start takes longer than a page. What lies in a box that
# scrolls by itself may be wider, but for the theme's own box around an article, in which the whole
# text would move. A line of code in a table may end only where a word does.
LOOK = """<!doctype html><meta charset="utf-8"><body><script>
const pages = PAGES, found = [];
function scrolls(e) {
  for (; e && e.tagName !== "BODY"; e = e.parentElement) {
    if (e.classList.contains("bd-article-container")) continue;
    if (/auto|scroll|hidden/.test(e.ownerDocument.defaultView.getComputedStyle(e).overflowX)) {
      return true;
    }
  }
  return false;
}
function torn(document) {
  const words = [];
  document.querySelectorAll("article table code").forEach(code => {
    const texts = document.createTreeWalker(code, NodeFilter.SHOW_TEXT);
    const range = document.createRange();
    for (let node; (node = texts.nextNode());) {
      let before = null;
      for (let i = 0; i < node.length; i++) {
        range.setStart(node, i); range.setEnd(node, i + 1);
        const top = range.getBoundingClientRect().top, pair = node.data.slice(i - 1, i + 1);
        if (before !== null && top > before + 4 && /^\\w\\w$/.test(pair)) words.push(node.data);
        before = top;
      }
    }
  });
  return words;
}
function look(i) {
  if (i === pages.length) { document.title = JSON.stringify(found); return; }
  const frame = document.createElement("iframe");
  frame.width = WIDTH; frame.height = 900; frame.style.border = 0;
  frame.onload = () => setTimeout(() => {
    const page = frame.contentDocument, root = page.documentElement, wide = [];
    let most = root.scrollWidth;
    page.querySelectorAll("body *").forEach(e => {
      const box = e.getBoundingClientRect(), right = Math.max(box.right, box.left + e.scrollWidth);
      if (right > WIDTH + 0.5 && !scrolls(e)) {
        most = Math.max(most, Math.ceil(right));
        wide.push(e.tagName.toLowerCase() + "." + e.className);
      }
    });
    const words = torn(page);
    if (most > WIDTH || words.length) {
      found.push([pages[i], most, wide.slice(-3), words.slice(0, 3)]);
    }
    frame.remove(); look(i + 1);
  }, 20);
  frame.src = pages[i];
  document.body.append(frame);
}
look(0);
</script>"""


def browser() -> str | None:
    """Find Chromium.

    Returns
    -------
    str or None
        Its program, if it is installed.
    """
    return next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)


def unfit(pages: Sequence[Path], program: str, width: int = WIDTH) -> list[str]:
    """Say which pages scroll sideways, or break a word of code in a table.

    Parameters
    ----------
    pages : sequence of path
        HTML files.
    program : str
        Chromium.
    width : int
        Of the window, in px.

    Returns
    -------
    list of str
        A line for each fault.

    Raises
    ------
    RuntimeError
        If the browser did not get to the end.
    """
    addresses = [page.resolve().as_uri() for page in pages]
    text = LOOK.replace("PAGES", json.dumps(addresses)).replace("WIDTH", str(width))
    # Beside the pages: a browser from a snap does not see the system's temporary folder.
    with tempfile.TemporaryDirectory(dir=pages[0].parent, prefix="look-") as work:
        outer = Path(work) / "look.html"
        outer.write_text(text, encoding="utf-8")
        flags = (
            "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--dump-dom",
            "--no-first-run", "--disable-background-networking",
            "--allow-file-access-from-files", "--window-size=1000,1000",
            f"--user-data-dir={work}/profile", f"--virtual-time-budget={10_000 + 500 * len(pages)}",
        )  # fmt: skip
        done = subprocess.run(
            [program, *flags, outer.as_uri()], capture_output=True, text=True, check=False
        )
    title = re.search(r"<title>(\[.*?\])</title>", done.stdout, re.DOTALL)
    if title is None:
        raise RuntimeError(f"{program} did not look at all pages: {done.stderr[-500:]}")
    names = dict(zip(addresses, pages, strict=True))
    lines = []
    for address, wide, elements, words in json.loads(unescape(title[1])):
        if wide > width:
            lines.append(f"{names[address]}: {wide} px wide at {width}: {', '.join(elements)}")
        lines += [f"{names[address]}: breaks inside {word!r} at {width} px" for word in words]
    return lines
