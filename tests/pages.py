"""Pages as trees, for tests of what is written for a browser."""

from __future__ import annotations

import html.parser
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

VOID = {"meta", "br", "img", "link", "input", "hr", "col"}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    children: list[Element | str] = field(default_factory=list)

    def all(self, *tags: str) -> list[Element]:
        found = []
        for child in self.children:
            if isinstance(child, Element):
                if not tags or child.tag in tags:
                    found.append(child)
                found += child.all(*tags)
        return found

    @property
    def text(self) -> str:
        """As a reader sees it, spaces of every kind and length as one."""
        parts = [
            child if isinstance(child, str) else child.text if child.tag != "style" else ""
            for child in self.children
        ]
        return re.sub(r"\s+", " ", "".join(parts))


class Parser(html.parser.HTMLParser):
    """Builds a tree and insists that every element is closed where it should be."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Element("root", {})
        self.open = [self.root]

    def handle_starttag(self, tag, attributes):
        names = [name for name, _ in attributes]
        assert len(set(names)) == len(names), f"twice the same attribute in {tag}"
        element = Element(tag, {name: value or "" for name, value in attributes})
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag):
        assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data):
        self.open[-1].children.append(data)


def parse(path: Path) -> Element:
    parser = Parser()
    parser.feed(path.read_text(encoding="utf-8"))
    parser.close()
    assert parser.open == [parser.root], "an element is not closed"
    return parser.root


def luminance(colour: str) -> float:
    if len(colour) == 4:
        colour = "#" + "".join(2 * c for c in colour[1:])
    channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


MEASURE = """<script>
addEventListener("load", () => {
  document.querySelectorAll("details").forEach(d => d.open = true);
  const page = document.documentElement, wide = [];
  document.querySelectorAll("body *").forEach(e => {
    if (!e.closest(".scroll, .wide") && e.getBoundingClientRect().right > innerWidth + 0.5) {
      wide.push(e.tagName + "." + e.className);
    }
  });
  // Tables that lie in stacks on narrow screens need no scrolling anywhere.
  const boxes = [...document.querySelectorAll(".stacks")].map(e => e.parentElement);
  const cut = boxes.filter(e => e.scrollWidth > e.clientWidth).map(e => e.ariaLabel);
  document.title = JSON.stringify({inner: innerWidth, scroll: page.scrollWidth, wide, cut,
    broken: [...document.images].filter(i => !i.naturalWidth).length});
});
</script>"""


def measured(browser, page: Path, folder: Path, width: int) -> dict:
    """Open a page in a frame of this width; say what is broader, and how many pictures broken."""
    text = page.read_text(encoding="utf-8")
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', MEASURE, text)
    # A frame gives the width exactly; browser windows have a smallest one.
    inner = folder / "inner.html"
    inner.write_text(text, encoding="utf-8")
    outer = folder / "outer.html"
    outer.write_text(
        f'<!DOCTYPE html><iframe src="inner.html" width="{width}" height="900" style="border:0">'
        "</iframe><script>addEventListener('load', () => { document.title = "
        "document.querySelector('iframe').contentDocument.title; });</script>",
        encoding="utf-8",
    )
    dom = browser(
        outer, "--dump-dom", "--window-size=1400,1000", "--allow-file-access-from-files",
        "--virtual-time-budget=5000",
    )  # fmt: skip
    return json.loads(re.search(r"<title>(\{.*?\})</title>", dom).group(1).replace("&quot;", '"'))
