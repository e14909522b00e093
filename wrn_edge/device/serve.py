"""A page that shows the results as they come, for the device's own screen.

It only shows: the page has no way to change anything, and it knows pictures by number, never by
path. By default only this device can see it; in a network a token is asked for.
"""

from __future__ import annotations

import contextlib
import hmac
import http.server
import io
import ipaddress
import json
import math
import re
import secrets
import socket
import sys
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
from errors import InputError
from PIL import Image
from sealed import Bundle

from common.notices import RESEARCH_USE, SYNTHETIC_MODEL
from results import LATEST, Results

FOLDER = Path(__file__).resolve().parent
PREVIEW = (560, 420)  # px
CONNECTIONS = 16
COOKIE = "token"
_NO_TOKEN = (
    b"This page asks for the token that infer.py printed when it started: open the address that it "
    b"gave, or send the header Authorization: Bearer TOKEN.\n"
)
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
            "synthetic": SYNTHETIC_MODEL if bundle.synthetic else "",
            "model": bundle.model_id,
            "classes": bundle.classes,
            "positive": bundle.preprocessing["positive"],
        }
        self._counts: dict[str, int] = {}
        self._rows: OrderedDict[int, tuple[dict, dict[str, bytes]]] = OrderedDict()
        self._number = 0
        self._lock = threading.Lock()

    @staticmethod
    def preview(picture: np.ndarray) -> bytes:
        """JPEG of a picture as the page shows it.

        Parameters
        ----------
        picture : ndarray
            RGB, shape (H, W, 3), uint8.
        """
        preview = Image.fromarray(picture)
        preview.thumbnail(PREVIEW)
        return Page.jpeg(preview)

    @staticmethod
    def jpeg(image: Image.Image) -> bytes:
        """JPEG of an image.

        Parameters
        ----------
        image : Image
        """
        data = io.BytesIO()
        image.save(data, "JPEG", quality=88)
        return data.getvalue()

    def restore(self, table: Results) -> None:
        """Show what a file of results held when it was opened, without pictures.

        Parameters
        ----------
        table : Results
        """
        for row in table.latest:
            self.show(row, {})
        self._counts = dict(table.counts)

    def show(self, row: dict[str, Any], images: dict[str, bytes]) -> None:
        """Add a result.

        Parameters
        ----------
        row : dict
            As in results.csv.
        images : dict of bytes
            JPEGs by "picture" and "map".
        """
        shown = {
            "name": row["image"].encode("utf-8", "replace").decode(),
            "time": row["time"],
            "status": row["status"],
            "label": row.get("label", ""),
            "probability": _number(row.get("probability")),
            "reason": row.get("reason", "").encode("utf-8", "replace").decode(),
            "probabilities": {
                name: _number(row.get(f"p_{name}"))
                for name in self._about["classes"]
                if row.get(f"p_{name}")
            },
            "images": sorted(images),
        }
        with self._lock:
            self._number += 1
            self._counts[row["status"]] = self._counts.get(row["status"], 0) + 1
            self._rows[self._number] = ({"id": self._number, **shown}, images)
            if len(self._rows) > LATEST:
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
            Of this device only, such as 127.0.0.1, or of a network: then the address ends in a
            token, new at every start, without which nothing is shown.
        port : int
            0: any that is free.

        Raises
        ------
        InputError
            If the address or port cannot be had.
        """
        try:
            self._server = Server((host, port), self, local=_is_local(host))
        except (OSError, OverflowError) as error:
            raise InputError(
                f"--host {host} --port {port}: cannot be served there ({error}); "
                "is another infer.py running? try --port 8001"
            ) from None
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        token = self._server.token
        if host in ("0.0.0.0", "::"):
            host = socket.gethostname()
        name = f"[{host}]" if ":" in host else host
        end = f"?token={token}" if token else ""
        return f"http://{name}:{self._server.server_address[1]}/{end}"

    def wait(self) -> None:
        """Serve until the program is stopped."""
        self._thread.join()

    def stop(self) -> None:
        """Serve no more."""
        self._server.shutdown()
        self._server.server_close()


def _number(text: str | None) -> float | None:
    """A number that JSON knows; None for anything else, as a file may hold."""
    try:
        value = float(text or "nan")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


class Server(http.server.ThreadingHTTPServer):
    """Serves a page to `CONNECTIONS` at a time; one more, and the oldest is closed.

    Parameters
    ----------
    address : (str, int)
    page : Page
    local : bool
        Whether only this device can reach it; otherwise a token is asked for.
    """

    request_queue_size = 2 * CONNECTIONS

    def __init__(self, address: tuple[str, int], page: Page, *, local: bool):
        self.page, self.local = page, local
        self.token = "" if local else secrets.token_urlsafe(16)
        self._open: list[socket.socket] = []
        self._guard = threading.Lock()
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread; the oldest gives way, so that nobody can hold all places.

        Parameters
        ----------
        request : socket
        client_address : tuple
        """
        with self._guard:
            self._open.append(request)
            if len(self._open) > CONNECTIONS:
                self._hang_up(self._open.pop(0))
        super().process_request(request, client_address)

    @staticmethod
    def _hang_up(request: socket.socket) -> None:
        with contextlib.suppress(OSError):
            request.shutdown(socket.SHUT_RDWR)

    def server_close(self) -> None:
        """Listen no more, and end the answers that are under way."""
        super().server_close()
        with self._guard:
            for request in self._open:
                self._hang_up(request)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection.

        Parameters
        ----------
        request : socket
        """
        with self._guard:
            if request in self._open:
                self._open.remove(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that hang up, and one line of anything else.

        Parameters
        ----------
        request : socket
        client_address : tuple
        """
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            print(f"page: {type(error).__name__}: {error}", file=sys.stderr, flush=True)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Server
    timeout = 10
    server_version = "infer"
    sys_version = ""

    def do_GET(self) -> None:
        # A foreign page must not reach this one by giving its own name our address.
        host = (self.headers.get("Host") or "").rsplit(":", 1)[0]
        page, (path, _, query) = self.server.page, self.path.partition("?")
        if self.server.local and not _is_local(host):
            self._send(403, b"this page is for this device only\n", "text/plain")
            return
        if self.server.token and not self._is_known():
            if path == "/" and self._is_token(query.partition("token=")[2]):
                # Into a cookie, so that the token does not stay in the address.
                cookie = f"{COOKIE}={self.server.token}; HttpOnly; SameSite=Strict; Path=/"
                self._send(303, b"", "text/plain", Location="/", **{"Set-Cookie": cookie})
            else:
                self._send(403, _NO_TOKEN, "text/plain; charset=utf-8")
            return
        if self.server.token and path == "/" and query.startswith("token="):
            self._send(303, b"", "text/plain", Location="/")
            return
        picture = _PICTURE.fullmatch(self.path)
        if self.path in _FILES:
            name, kind = _FILES[self.path]
            self._send(200, (FOLDER / name).read_bytes(), kind)
        elif self.path == "/state.json":
            self._send(200, json.dumps(page.state()).encode(), "application/json")
        elif picture and (data := page.image(picture[1], int(picture[2]))):
            self._send(200, data, "image/jpeg")
        else:
            self._send(404, b"no such page\n", "text/plain")

    def _is_known(self) -> bool:
        """Whether the request brings the token: as a cookie, or in a header for programs."""
        kind, _, given = (self.headers.get("Authorization") or "").partition(" ")
        if kind.lower() == "bearer" and self._is_token(given.strip()):
            return True
        cookies = (self.headers.get("Cookie") or "").split(";")
        pairs = (each.strip().partition("=") for each in cookies)
        return any(name == COOKIE and self._is_token(value) for name, _, value in pairs)

    def _is_token(self, given: str) -> bool:
        # In a time that does not tell how much of it is right.
        return hmac.compare_digest(
            given.encode("utf-8", "surrogateescape"), self.server.token.encode()
        )

    def _send(self, code: int, data: bytes, kind: str, **more: str) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        for name, value in more.items():
            self.send_header(name, value)
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", _POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing: the terminal shows results."""
