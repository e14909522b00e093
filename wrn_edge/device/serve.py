"""A page that shows the results as they come, for the device's own screen.

It only shows: the page has no way to change anything, and it knows pictures by number, never by
path. By default only this device can see it.
"""

from __future__ import annotations

import http.server
import io
import ipaddress
import json
import re
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
from errors import InputError
from notices import RESEARCH_USE, SYNTHETIC
from PIL import Image
from sealed import Bundle

FOLDER = Path(__file__).resolve().parent
KEPT = 60  # results the page can go back to
PREVIEW = (560, 420)  # px
_FILES = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
}
_PICTURE = re.compile(r"/(picture|map)/([0-9]{1,9})")
_POLICY = (
    "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Page:
    """What the page shows; filled by the classifying thread, read by the serving ones.

    Parameters
    ----------
    bundle : Bundle
    """

    def __init__(self, bundle: Bundle):
        self._about = {
            "notice": RESEARCH_USE,
            "synthetic": SYNTHETIC if bundle.synthetic else "",
            "model": bundle.model_id,
            "classes": bundle.classes,
            "positive": bundle.preprocessing["positive"],
        }
        self._counts: dict[str, int] = {}
        self._rows: OrderedDict[int, tuple[dict, dict[str, bytes]]] = OrderedDict()
        self._number = 0
        self._lock = threading.Lock()

    def show(self, row: dict[str, Any], picture: np.ndarray | None, overlay: Any) -> None:
        """Add a result.

        Parameters
        ----------
        row : dict
            As in results.csv.
        picture : ndarray or None
            RGB, shape (H, W, 3), uint8.
        overlay : Image or None
            The class activation map.
        """
        images = {}
        if picture is not None:
            preview = Image.fromarray(picture)
            preview.thumbnail(PREVIEW)
            images["picture"] = _jpeg(preview)
        if overlay is not None:
            images["map"] = _jpeg(overlay)
        shown = {
            "name": row["image"].encode("utf-8", "replace").decode(),
            "time": row["time"],
            "status": row["status"],
            "label": row.get("label", ""),
            "probability": float(row["probability"]) if row.get("probability") else None,
            "reason": row.get("reason", ""),
            "probabilities": {
                name: float(row[f"p_{name}"])
                for name in self._about["classes"]
                if f"p_{name}" in row
            },
            "images": sorted(images),
        }
        with self._lock:
            self._number += 1
            self._counts[row["status"]] = self._counts.get(row["status"], 0) + 1
            self._rows[self._number] = ({"id": self._number, **shown}, images)
            if len(self._rows) > KEPT:
                self._rows.popitem(last=False)

    def state(self) -> dict[str, Any]:
        """Everything but the pictures, newest first."""
        with self._lock:
            rows = [row for row, _ in reversed(self._rows.values())]
            return {**self._about, "counts": dict(self._counts), "rows": rows}

    def image(self, kind: str, number: int) -> bytes | None:
        """JPEG of a result's picture or map.

        Parameters
        ----------
        kind : {"picture", "map"}
        number : int
            Of the result, from 1.

        Returns
        -------
        bytes or None
            None if there is none, or no longer.
        """
        with self._lock:
            _, images = self._rows.get(number, ({}, {}))
            return images.get(kind)

    def start(self, host: str, port: int) -> str:
        """Serve in the background; give the address.

        Parameters
        ----------
        host : str
            Of this device only, such as 127.0.0.1, or of a network.
        port : int
            0: any that is free.

        Raises
        ------
        InputError
            If the address or port cannot be had.
        """
        page = self
        local = _is_local(host)

        class Handler(_Handler):
            pass

        Handler.page, Handler.local = page, local
        try:
            self._server = http.server.ThreadingHTTPServer((host, port), Handler)
        except (OSError, OverflowError) as error:
            raise InputError(
                f"--host {host} --port {port}: cannot be served there ({error}); "
                "is another infer.py running? try --port 8001"
            ) from None
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return f"http://{host}:{self._server.server_address[1]}/"

    def wait(self) -> None:
        """Serve until the program is stopped."""
        self._thread.join()

    def stop(self) -> None:
        """Serve no more."""
        self._server.shutdown()
        self._server.server_close()


def _jpeg(image: Image.Image) -> bytes:
    data = io.BytesIO()
    image.save(data, "JPEG", quality=88)
    return data.getvalue()


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


class _Handler(http.server.BaseHTTPRequestHandler):
    page: Page
    local: bool
    timeout = 10
    server_version = "infer"
    sys_version = ""

    def do_GET(self) -> None:
        # A foreign page must not reach this one by giving its own name our address.
        host = (self.headers.get("Host") or "").rsplit(":", 1)[0]
        if self.local and not _is_local(host):
            self._send(403, b"this page is for this device only\n", "text/plain")
            return
        picture = _PICTURE.fullmatch(self.path)
        if self.path in _FILES:
            name, kind = _FILES[self.path]
            self._send(200, (FOLDER / name).read_bytes(), kind)
        elif self.path == "/state.json":
            self._send(200, json.dumps(self.page.state()).encode(), "application/json")
        elif picture and (data := self.page.image(picture[1], int(picture[2]))):
            self._send(200, data, "image/jpeg")
        else:
            self._send(404, b"no such page\n", "text/plain")

    def _send(self, code: int, data: bytes, kind: str) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", _POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing: the terminal shows results."""
