"""Downloading from servers that misbehave, unpacking archives that do, and the command."""

from __future__ import annotations

import contextlib
import errno
import gzip
import hashlib
import http.server
import io
import json
import os
import random
import re
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tarfile
import threading
import time
import warnings
import zipfile
from pathlib import Path

import filelock
import pytest

from common import datasets, terminal
from common.datasets import __main__ as command
from common.datasets import bach, bci, breakhis
from common.datasets.fetch import archives, part, transfer
from common.errors import InputError

ROOT = Path(__file__).parent.parent
TREE = "BreaKHis_v1/histology_slides/breast"
NAMES = [
    f"{TREE}/benign/SOB/adenosis/SOB_B_A_14-22549AB/40X/SOB_B_A-14-22549AB-40-001.png",
    f"{TREE}/benign/SOB/adenosis/SOB_B_A_14-22549AB/100X/SOB_B_A-14-22549AB-100-001.png",
    f"{TREE}/malignant/SOB/ductal_carcinoma/SOB_M_DC_14-2523/40X/SOB_M_DC-14-2523-40-009.png",
]
COUNTS = {("A", "40X"): 1, ("A", "100X"): 1, ("DC", "40X"): 1}


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


def tar_gz(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", method) as archive:
        warnings.simplefilter("ignore")  # names that are there twice
        for name, data in files.items() if isinstance(files, dict) else files:
            archive.writestr(name, data)
    return buffer.getvalue()


FILES = {name: noise(60_000, seed) for seed, name in enumerate(NAMES)}
ARCHIVE = tar_gz(FILES)


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `server.body`; the next entry of `server.plan` says what goes wrong this time.

    cut: bytes of the answer after which the connection ends | reset: it ends with a reset |
    stall: it hangs there instead | length: what is announced | no_length | status, headers, text:
    another answer | ranges=False: Range is ignored | if_range=False: If-Range is | shift: the range
    sent begins later than asked | content_range: what is said of it | most: longest range sent |
    endless: more follows the body for as long as it is read, or 50 MB | open: nothing more comes,
    but the connection stays.
    """

    def do_GET(self):
        server = self.server
        server.requests.append((self.path, dict(self.headers)))
        plan = server.plan.pop(0) if server.plan else dict(server.always)
        if "body" in plan:
            server.body = plan["body"]
        if "etag" in plan:
            server.etag = plan["etag"]
        if self.path in server.pages:
            plan = {"status": 200, "text": server.pages[self.path]}
        if "status" in plan:
            text = plan.get("text", b"")
            self.send_response(plan["status"])
            for name, value in plan.get("headers", {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)
            return
        body, total = server.body, len(server.body)
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        condition = self.headers.get("If-Range")
        changed = condition is not None and condition != server.etag and plan.get("if_range", True)
        if asked and plan.get("ranges", True) and not changed:
            start = int(asked[1]) + plan.get("shift", 0)
            end = min(total, start + plan.get("most", total))
            if start >= total:
                self.send_error(416)
                return
            self.send_response(206)
            said = plan.get("content_range", f"bytes {start}-{end - 1}/{total}")
            if said:
                self.send_header("Content-Range", said)
            body = body[start:end]
        else:
            self.send_response(200)
        if not plan.get("no_length"):
            self.send_header("Content-Length", str(plan.get("length", len(body))))
        if server.etag:
            self.send_header("ETag", server.etag)
        self.end_headers()
        cut = plan.get("cut", plan.get("stall", plan.get("reset", len(body))))
        with contextlib.suppress(OSError):
            self.wfile.write(body[:cut])
            self.wfile.flush()
            if "stall" in plan or "open" in plan:
                server.released.wait(20)
            if "endless" in plan:
                for _ in range(500):
                    self.wfile.write(bytes(100_000))
                    server.sent += 100_000
            if "reset" in plan:
                self.connection.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )
                self.connection.close()

    def log_message(self, *arguments):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.body, self.etag = ARCHIVE, '"one"'
        self.plan: list[dict] = []
        self.always: dict = {}
        self.pages: dict[str, bytes] = {}
        self.requests: list[tuple[str, dict]] = []
        self.released = threading.Event()
        self.sent = 0
        self.url = f"http://127.0.0.1:{self.server_port}/BreaKHis_v1.tar.gz"

    def handle_error(self, request, client_address):
        pass  # the client went away

    def ranges(self) -> list[str | None]:
        return [headers.get("Range") for _, headers in self.requests]


@pytest.fixture
def server():
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.released.set()
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Short waits, small overlaps, no proxy."""
    monkeypatch.setattr(transfer, "FIRST_WAIT", 0.001)
    monkeypatch.setattr(transfer, "LONGEST_WAIT", 0.004)
    monkeypatch.setattr(transfer, "OVERLAP", 1000)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.delenv(datasets.DATA_VARIABLE, raising=False)


@pytest.fixture
def tiny(monkeypatch):
    """Let the three images of `ARCHIVE` be all of BreakHis."""
    monkeypatch.setattr(breakhis, "EXPECTED_COUNTS", COUNTS)
    monkeypatch.setattr(breakhis, "EXPECTED_IMAGES", 3)


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.endswith(".lock")}


# --- one file ----------------------------------------------------------------------------------


def test_fetch(server, tmp_path, capsys):
    path = transfer.fetch(server.url, tmp_path / "a.tar.gz", size=len(ARCHIVE))
    assert path.read_bytes() == ARCHIVE
    assert names_in(tmp_path) == {"a.tar.gz"}
    assert server.ranges() == [None]
    assert capsys.readouterr().err.count("\n") <= 10


@pytest.mark.parametrize("kind", ["cut", "reset"])
def test_connections_cut_anywhere_are_continued(server, tmp_path, kind):
    draw = random.Random(3)
    server.plan = [{kind: draw.randrange(1, 40_000)} for _ in range(14)]
    path = transfer.fetch(server.url, tmp_path / "a", size=len(ARCHIVE))
    assert path.read_bytes() == ARCHIVE
    continued = [headers for _, headers in server.requests if "Range" in headers]
    assert len(continued) >= 5
    assert all(headers["If-Range"] == '"one"' for headers in continued)


def test_short_ranges_are_followed(server, tmp_path):
    server.plan = [{"cut": 5000}, {"most": 50_000}, {"most": 50_000}]
    assert transfer.fetch(server.url, tmp_path / "a").read_bytes() == ARCHIVE
    assert server.ranges() == [None, "bytes=4000-", "bytes=53000-", "bytes=102000-"]


def test_part_of_an_earlier_call_is_continued(server, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "ATTEMPTS", 1)
    server.plan = [{"cut": 100_000}]
    with pytest.raises(InputError, match=r"cut, 1 times\. 0\.1 MB are kept in .*a\.part"):
        transfer.fetch(server.url, tmp_path / "a")
    assert names_in(tmp_path) == {"a.part", "a.part.json"}
    assert (tmp_path / "a.part").read_bytes() == ARCHIVE[:100_000]
    assert transfer.fetch(server.url, tmp_path / "a").read_bytes() == ARCHIVE
    assert server.ranges() == [None, "bytes=99000-"]


def test_part_that_is_whole_already(server, tmp_path, monkeypatch):
    """The process died between the last byte and the rename."""
    monkeypatch.setattr(part.Part, "finish", lambda self: None)
    transfer.fetch(server.url, tmp_path / "a")
    monkeypatch.undo()
    monkeypatch.setattr(transfer, "OVERLAP", 1000)
    assert transfer.fetch(server.url, tmp_path / "a").read_bytes() == ARCHIVE
    assert server.ranges() == [None, f"bytes={len(ARCHIVE) - 1000}-"]


@pytest.mark.parametrize("state", ["no note", "damaged note", "other address", "longer"])
def test_part_of_unknown_origin_is_not_used(server, tmp_path, state, monkeypatch):
    monkeypatch.setattr(transfer, "ATTEMPTS", 1)
    server.plan = [{"cut": 50_000}]
    with pytest.raises(InputError):
        transfer.fetch(server.url, tmp_path / "a")
    monkeypatch.setattr(transfer, "ATTEMPTS", 3)
    part, note = tmp_path / "a.part", tmp_path / "a.part.json"
    url = server.url
    if state == "no note":
        note.unlink()
    elif state == "damaged note":
        note.write_text("{")
    elif state == "other address":
        url += "?other"
    else:
        part.write_bytes(ARCHIVE + b"more than there is")
    assert transfer.fetch(url, tmp_path / "a").read_bytes() == ARCHIVE


@pytest.mark.parametrize("etag", ['"one"', "", 'W/"weak"'])
def test_zeros_at_the_end_of_a_part(server, tmp_path, etag, monkeypatch):
    """After a power cut a file may have its size but not its last bytes."""
    server.etag = etag
    monkeypatch.setattr(transfer, "ATTEMPTS", 1)
    server.plan = [{"cut": 50_000}]
    with pytest.raises(InputError):
        transfer.fetch(server.url, tmp_path / "a")
    monkeypatch.setattr(transfer, "ATTEMPTS", 3)
    (tmp_path / "a.part").write_bytes(ARCHIVE[:49_500] + bytes(500))
    assert transfer.fetch(server.url, tmp_path / "a").read_bytes() == ARCHIVE
    assert ("If-Range" in server.requests[1][1]) == (etag == '"one"')


def test_server_that_ignores_ranges(server, tmp_path):
    server.always = {"ranges": False}
    server.plan = [{"cut": 50_000}, {"cut": 20_000, "ranges": False}]
    assert transfer.fetch(server.url, tmp_path / "a").read_bytes() == ARCHIVE


@pytest.mark.parametrize(
    "lie",
    [
        {"shift": 7},
        {"content_range": None},
        {"content_range": f"bytes 0-9/{len(ARCHIVE)}"},
        {"content_range": "bytes 4000-9000/*"},
        {"content_range": f"bytes 4000-{len(ARCHIVE)}/{len(ARCHIVE)}"},
        {"content_range": "bytes 4000-4999/5000"},
        {"content_range": "garbage"},
        {"shift": 3, "content_range": f"bytes 4000-{len(ARCHIVE) - 1}/{len(ARCHIVE)}"},
        {"status": 204},
        {"status": 416},
    ],
)
def test_wrong_ranges_are_not_written(server, tmp_path, lie):
    server.plan = [{"cut": 5000}, lie]
    assert transfer.fetch(server.url, tmp_path / "a").read_bytes() == ARCHIVE
    assert server.ranges() == [None, "bytes=4000-", None]


@pytest.mark.parametrize("second", [{}, {"if_range": False}])
def test_file_that_changes_is_not_joined(server, tmp_path, second):
    other = tar_gz({name: data[::-1] for name, data in FILES.items()})
    server.plan = [{"cut": 90_000}, {"body": other, "etag": '"two"', **second}]
    assert transfer.fetch(server.url, tmp_path / "a").read_bytes() == other


@pytest.mark.parametrize("etag", ["", 'W/"weak"'])
def test_file_that_changes_without_a_word(server, tmp_path, etag):
    server.etag = etag
    other = ARCHIVE[:20] + noise(len(ARCHIVE) - 20, seed=9)
    server.plan = [{"cut": 90_000}, {"body": other}]
    assert transfer.fetch(server.url, tmp_path / "a").read_bytes() == other


def test_announced_length_too_long(server, tmp_path):
    server.always = {"length": len(ARCHIVE) + 5000}
    with pytest.raises(InputError, match=r"6 times"):
        transfer.fetch(server.url, tmp_path / "a")
    assert not (tmp_path / "a").exists()
    assert len(server.requests) <= 12


def test_announced_length_too_short(server, tmp_path):
    server.always = {"length": 70_000}
    path = transfer.fetch(server.url, tmp_path / "a")
    assert path.read_bytes() == ARCHIVE[:70_000]
    with pytest.raises(archives.DamagedError, match="damaged"):
        archives.unpack(path, tmp_path / "out")
    with pytest.raises(InputError, match=rf"70000 bytes; the published file has {len(ARCHIVE)}"):
        transfer.fetch(server.url, tmp_path / "b", size=len(ARCHIVE))


def test_no_length(server, tmp_path):
    server.always = {"no_length": True}
    assert transfer.fetch(server.url, tmp_path / "a").read_bytes() == ARCHIVE


@pytest.mark.parametrize("more", ["endless", "open"])
def test_no_length_stops_at_the_published_size(server, tmp_path, more):
    server.always = {"no_length": True, more: True}
    path = transfer.fetch(server.url, tmp_path / "a", size=len(ARCHIVE), timeout=3)
    assert path.read_bytes() == ARCHIVE
    assert len(server.requests) == 1


def test_no_length_and_shorter_than_published(server, tmp_path):
    server.plan = [{"no_length": True, "cut": 90_000}]
    path = transfer.fetch(server.url, tmp_path / "a", size=len(ARCHIVE))
    assert path.read_bytes() == ARCHIVE
    assert server.ranges() == [None, "bytes=89000-"]


def test_endless_stream_stops_at_the_limit(server, tmp_path):
    server.always = {"no_length": True, "endless": True}
    with pytest.raises(InputError, match=r"more than 1000000 bytes; the file .* less than 1\.0 MB"):
        transfer.fetch(server.url, tmp_path / "a", limit=1_000_000)
    assert names_in(tmp_path) == set()
    assert len(server.requests) == 1
    assert server.sent < 40_000_000  # what the system's buffers took, not all


def test_announced_length_above_the_limit(server, tmp_path):
    with pytest.raises(InputError, match=rf"{len(ARCHIVE)} bytes; the file that is wanted has"):
        transfer.fetch(server.url, tmp_path / "a", limit=len(ARCHIVE) - 1)
    assert names_in(tmp_path) == set()
    assert transfer.fetch(server.url, tmp_path / "a", limit=len(ARCHIVE)).is_file()


def test_page_instead_of_an_archive_spares_the_part(server, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "ATTEMPTS", 1)
    page = b"<!DOCTYPE html><title>Please log in</title>" + b" " * 600
    server.plan = [{"cut": 100_000}, {"status": 200, "text": page}]
    with pytest.raises(InputError):
        transfer.fetch(server.url, tmp_path / "a")
    with pytest.raises(InputError, match=r"begins with '<!DOCTYPE html>.*log in first"):
        transfer.fetch(server.url, tmp_path / "a")
    assert transfer.fetch(server.url, tmp_path / "a").read_bytes() == ARCHIVE
    assert server.ranges()[2] == "bytes=99000-"


@pytest.mark.parametrize("body", [b"", b"garbage" * 1000, b"\x1f\x8b", b"PK"])
def test_garbage_instead_of_an_archive(server, tmp_path, body):
    server.body = body
    with pytest.raises(InputError, match="not an archive"):
        transfer.fetch(server.url, tmp_path / "a")
    assert names_in(tmp_path) == set()


@pytest.mark.parametrize("status", [401, 403, 404, 410, 451])
def test_refusals_are_not_repeated(server, tmp_path, status):
    server.always = {"status": status}
    with pytest.raises(InputError, match=rf"answers {status} .*--url .*--archive"):
        transfer.fetch(server.url + "?token=secret", tmp_path / "a")
    assert len(server.requests) == 1


def test_busy_servers_are_asked_again(server, tmp_path, capsys, monkeypatch):
    waits = []
    monkeypatch.setattr(transfer, "LONGEST_WAIT", 120.0)
    monkeypatch.setattr(transfer.time, "sleep", waits.append)
    server.plan = [
        {"status": 503, "headers": {"Retry-After": "7"}},
        {"status": 500},
        {"status": 429, "headers": {"Retry-After": "9999"}},
        {"status": 502, "headers": {"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT"}},
    ]
    assert transfer.fetch(server.url, tmp_path / "a").read_bytes() == ARCHIVE
    assert waits == [7.0, 0.002, 120.0, 0.008]
    assert "503 Service Unavailable at 0.0 MB; again in 7 s" in capsys.readouterr().err
    server.always = {"status": 503}
    with pytest.raises(InputError, match="503 Service Unavailable, 6 times"):
        transfer.fetch(server.url, tmp_path / "b")


def test_stalled_connection(server, tmp_path, capsys):
    server.plan = [{"stall": 60_000}]
    assert transfer.fetch(server.url, tmp_path / "a", timeout=0.2).read_bytes() == ARCHIVE
    assert server.ranges() == [None, "bytes=59000-"]
    assert "no answer in time" in capsys.readouterr().err


def test_nobody_listens(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        with pytest.raises(InputError, match=r"refused, 6 times\. nothing is kept"):
            transfer.fetch(f"http://127.0.0.1:{port}/a.zip", tmp_path / "a")


def test_redirections(server, tmp_path):
    def to(place):
        return {"status": 302, "headers": {"Location": place}}

    server.plan = [to("/elsewhere"), {"cut": 30_000}, to("/elsewhere")]
    assert transfer.fetch(server.url, tmp_path / "a").read_bytes() == ARCHIVE
    assert server.ranges() == [None, None, "bytes=29000-", "bytes=29000-"]
    for place in ("file:///etc/passwd", "ftp://127.0.0.1/a"):
        server.plan = [to(place)]
        with pytest.raises(InputError, match=r"unsafe address|not allowed"):
            transfer.fetch(server.url, tmp_path / "b")
    server.always = to("/again")
    with pytest.raises(InputError, match="302"):
        transfer.fetch(server.url, tmp_path / "b")


@pytest.mark.parametrize(
    "url",
    ["ftp://host/a", "http://", "http:///a", "http://host:port/a", "http://host/a b",
     "http://host/\n", "http://höst/a", "http://u:p@host/a", "gopher://h"],
)  # fmt: skip
def test_addresses_that_are_none(url, tmp_path):
    with pytest.raises(InputError, match="--url"):
        transfer.fetch(url, tmp_path / "a")


def test_proxy_from_the_environment(server, tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")
    transfer.fetch("http://data.invalid/x.tar.gz", tmp_path / "a")
    assert server.requests[0][0] == "http://data.invalid/x.tar.gz"


def test_checksum(server, tmp_path):
    good = hashlib.md5(ARCHIVE).hexdigest()
    transfer.fetch(server.url, tmp_path / "a", checksum=f"md5:{good.upper()}")
    with pytest.raises(InputError, match=rf"md5 {good}, published 00.*deleted; run"):
        transfer.fetch(server.url, tmp_path / "b", checksum=f"md5:{0:032x}")
    assert names_in(tmp_path) == {"a"}


def test_space_is_checked_before_the_first_byte(server, tmp_path, monkeypatch):
    free = round(2.2 * len(ARCHIVE))
    monkeypatch.setattr(
        transfer.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(0, 0, free)
    )
    with pytest.raises(
        InputError, match=r"0\.4 MB are needed \(0\.2 MB to download and 0\.2 MB un"
    ):
        transfer.fetch(server.url, tmp_path / "a", unpacked_ratio=1.25)
    assert names_in(tmp_path) == set()
    server.plan = [{"cut": 150_000}]
    monkeypatch.setattr(transfer, "ATTEMPTS", 1)
    with pytest.raises(InputError, match="cut"):
        transfer.fetch(server.url, tmp_path / "a", unpacked_ratio=1.1)
    # Only what is missing needs room.
    free = round(1.5 * len(ARCHIVE))
    transfer.fetch(server.url, tmp_path / "a", unpacked_ratio=1.25)


# --- archives ----------------------------------------------------------------------------------


def member(name: str, kind: bytes = tarfile.REGTYPE, data: bytes = b"x", **more) -> tuple:
    info = tarfile.TarInfo(name)
    info.type = kind
    if kind == tarfile.REGTYPE:
        info.size = len(data)
    for key, value in more.items():
        setattr(info, key, value)
    return info, data


def tar_of(*members, mode="w:gz") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def zip_link(name: str, mode: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        info = zipfile.ZipInfo(name)
        info.create_system = 3
        info.external_attr = mode << 16
        archive.writestr(info, "/etc/passwd")
    return buffer.getvalue()


def encrypted_zip() -> bytes:
    data = bytearray(zipped({"a.png": b"x"}))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


BAD_NAMES = {
    "../x": "leads out", "a/../../x": "leads out", "a\\..\\..\\x": "leads out", "/x": "absolute",
    "\\x": "absolute", "C:/x": "Windows", "a/x:stream": "Windows", "a/CON": "device",
    "nul.png": "device", "a/com1.tar.gz": "device", "a/x.": "Windows", "a/x ": "Windows",
    "a/b?.png": "Windows", "a/\x01": "no text", "a/" + "x" * 256: "too long",
    "/".join("a" * 40): "too long", "a/" * 20 + "x" * 200 + "/" + "y" * 200: None,
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_NAMES)
@pytest.mark.parametrize("make", ["tar", "zip"])
def test_unsafe_names(name, make, tmp_path):
    content = {"good.png": b"x", name: b"evil"}
    (tmp_path / "a").write_bytes(tar_gz(content) if make == "tar" else zipped(content))
    if BAD_NAMES[name] is None:
        assert archives.unpack(tmp_path / "a", tmp_path / "deep" / "out").files == 2
        return
    with pytest.raises(InputError, match=rf"refused, nothing is unpacked: .*{BAD_NAMES[name]}"):
        archives.unpack(tmp_path / "a", tmp_path / "deep" / "out")
    assert set(tmp_path.rglob("*")) == {tmp_path / "a", tmp_path / "deep"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (tar_of(member("a", tarfile.SYMTYPE, linkname="/etc")), "link"),
        (tar_of(member("a", tarfile.SYMTYPE, linkname="b"), member("a/x")), "link"),
        (tar_of(member("b"), member("a", tarfile.LNKTYPE, linkname="b")), "link"),
        (tar_of(member("a", tarfile.CHRTYPE, devmajor=1, devminor=3)), "device"),
        (tar_of(member("a", tarfile.BLKTYPE)), "device"),
        (tar_of(member("a", tarfile.FIFOTYPE)), "device"),
        (tar_of(member("a"), member("a")), "twice"),
        (tar_of(member("d/a.png"), member("D/A.png")), "twice"),
        (tar_of(member("caf\u00e9"), member("cafe\u0301")), "twice"),
        (tar_of(member("a"), member("a/b")), "folder that is a file"),
        (tar_of(member("a/b"), member("a")), "twice"),
        (tar_of(member("a"), member("a", tarfile.DIRTYPE)), "twice"),
        (tar_of(member("./")), "no name"),
        (zip_link("a", stat.S_IFLNK | 0o777), "link"),
        (zip_link("a", stat.S_IFIFO | 0o666), "link"),
        (zip_link("a", stat.S_IFCHR | 0o666), "link"),
        (zipped([("a", b"1"), ("a", b"2")]), "twice"),
        (zipped([("a/b", b"1"), ("A/B", b"2")]), "twice"),
        (zipped([("a\\b", b"1"), ("a/b", b"2")]), "twice"),
        (encrypted_zip(), "encrypted"),
    ],
)
def test_what_is_refused(content, reason, tmp_path):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(InputError, match=f"refused, nothing is unpacked: .*{reason}"):
        archives.unpack(tmp_path / "a", tmp_path / "out")
    assert names_in(tmp_path) == {"a"}


def test_bombs(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "RATIO_FREE", 100_000)
    zeros = bytes(3_000_000)
    bombs = {
        "tar": tar_gz({"a": zeros}),
        "zip": zipped({"a": zeros}),
        "many": zipped({f"{i}": bytes(20_000) for i in range(150)}),
        "many.tar": tar_gz({f"{i}": bytes(20_000) for i in range(150)}),
    }
    for name, content in bombs.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=r"refused.*(too much|unpacked)"):
            archives.unpack(tmp_path / name, tmp_path / "out")
    (tmp_path / "files").write_bytes(tar_gz({f"{i}": b"" for i in range(11)}))
    with pytest.raises(InputError, match="at most 10 are"):
        archives.unpack(tmp_path / "files", tmp_path / "out", max_files=10)
    (tmp_path / "sum").write_bytes(tar_gz({f"{i}": noise(1000, i) for i in range(11)}))
    with pytest.raises(InputError, match="larger than 0"):
        archives.unpack(tmp_path / "sum", tmp_path / "out", max_bytes=10_000)
    assert names_in(tmp_path) == {*bombs, "files", "sum"}


def test_bomb_in_a_header(tmp_path):
    """A name of 40 MB would be read into memory before any check of it."""
    info = tarfile.TarInfo("a")
    info.size, info.type = 40_000_000, tarfile.GNUTYPE_LONGNAME
    content = gzip.compress(info.tobuf() + bytes(40_000_000) + bytes(1024), 1)
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(archives.DamagedError, match="header is too large"):
        archives.unpack(tmp_path / "a", tmp_path / "out")


def test_zip_that_lies_about_a_size(tmp_path):
    data = bytearray(zipped({"a": bytes(5000)}))
    at = data.index(b"PK\x01\x02") + 24
    data[at : at + 4] = struct.pack("<I", 100)
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(InputError, match="damaged"):
        archives.unpack(tmp_path / "a", tmp_path / "out")


def test_damage_is_found(tmp_path):
    path = tmp_path / "a"
    plain = tar_of(*(member(name, data=data) for name, data in FILES.items()), mode="w")
    header = plain.index(FILES[NAMES[1]]) - 512
    stored = zipped(FILES, zipfile.ZIP_STORED)
    damaged = {
        "cut gzip": ARCHIVE[:-100_000],
        "cut checksum": ARCHIVE[:-3],
        "flipped gzip": ARCHIVE[:90_000] + bytes([ARCHIVE[90_000] ^ 1]) + ARCHIVE[90_001:],
        "joined gzip": ARCHIVE[:90_000] + ARCHIVE[80_000:],
        "cut tar": plain[:100_000],
        "damaged header": plain[:header] + b"\xff" * 512 + plain[header + 512 :],
        "cut zip": stored[:-100],
        "flipped zip": stored.replace(FILES[NAMES[1]][:50], bytes(50)),
        "garbage behind": ARCHIVE + b"garbage",
        "page": b"<html>" * 100,
        "empty": b"",
        "only the beginning": ARCHIVE[:100],
    }
    for name, content in damaged.items():
        path.write_bytes(content)
        try:
            archives.unpack(path, tmp_path / "out")
        except archives.DamagedError as error:
            assert str(path) in str(error)
        else:
            pytest.fail(name)
        assert names_in(tmp_path) == {"a"}, name


@pytest.mark.parametrize("make", ["tar.gz", "tar", "zip", "zip64"])
def test_unpack(make, tmp_path):
    shadows = {"__MACOSX/._x": b"1", "BreaKHis_v1/.DS_Store": b"2", "BreaKHis_v1/._a.png": b"3"}
    files = FILES | shadows | {"BreaKHis_v1/README": b""}
    pairs = [member("./", tarfile.DIRTYPE), member("BreaKHis_v1/", tarfile.DIRTYPE, mode=0)]
    pairs += [member(n, data=d, mode=0o4777, uid=12345, mtime=5) for n, d in files.items()]
    content = {
        "tar.gz": lambda: tar_of(*pairs),
        "tar": lambda: tar_of(*pairs, mode="w"),
        "zip": lambda: zipped({"BreaKHis_v1/": b"", **files}),
        "zip64": lambda: zipped({n.replace("/", "\\"): d for n, d in files.items()}),
    }[make]()
    (tmp_path / "a").write_bytes(content)
    done = archives.unpack(tmp_path / "a", tmp_path / "out")
    assert done == archives.Unpacked(4, 180_000)
    for name, data in FILES.items():
        path = tmp_path / "out" / name
        assert path.read_bytes() == data
        assert stat.S_IMODE(path.stat().st_mode) & 0o7111 == 0
        assert path.stat().st_uid == os.getuid()
    assert len([path for path in (tmp_path / "out").rglob("*") if path.is_file()]) == 4


def test_one_wait_for_the_disk(tmp_path, monkeypatch):
    """Not one for each file, and before the archive is deleted."""
    waits = []
    files = {f"{TREE}/{i}/a.png": noise(100, i) for i in range(40)} | FILES
    (tmp_path / "BreaKHis_v1.tar.gz").write_bytes(tar_gz(files))
    monkeypatch.setattr(os, "fsync", lambda descriptor: waits.append("file"))
    to_disk = archives.to_disk

    def counted(folder):
        waits.append("all")
        assert len(list(Path(folder).rglob("*.png"))) == 43
        assert (tmp_path / "BreaKHis_v1.tar.gz").exists()
        to_disk(folder)

    monkeypatch.setattr(archives, "to_disk", counted)
    monkeypatch.setattr(breakhis, "EXPECTED_COUNTS", COUNTS)
    assert run("breakhis", "--data-dir", tmp_path, "--url", "http://nobody.invalid/a") == 0
    assert waits == ["all"]
    assert names_in(tmp_path) == {"BreaKHis_v1"}


def test_the_disk_says_that_it_is_full(tmp_path, monkeypatch):
    import ctypes

    class Library:
        def __init__(self, *arguments, **options):
            self.syncfs = lambda descriptor: -1

    monkeypatch.setattr(ctypes, "CDLL", Library)
    monkeypatch.setattr(ctypes, "get_errno", lambda: errno.ENOSPC)
    with pytest.raises(InputError, match=r"cannot be written \(No space left"):
        archives.to_disk(tmp_path)


def test_old_names_of_the_modules():
    from common import archives as old_archives
    from common import download as old_download

    assert old_archives is archives
    assert old_download.fetch is transfer.fetch
    assert callable(old_download.dataset)


# --- the whole way -----------------------------------------------------------------------------


def run(*arguments: str) -> int:
    return command.main(["download", *map(str, arguments)])


def test_breakhis_from_start_to_end(server, tmp_path, capsys, tiny):
    server.plan = [{"cut": 50_000}, {"status": 503}]
    assert run("breakhis", "--data-dir", tmp_path / "new" / "data", "--url", server.url) == 0
    out = capsys.readouterr().out
    before, after = out.split("from:")
    assert breakhis.LICENCE in before and breakhis.CITATION in before
    assert f"SHA-256 {hashlib.sha256(ARCHIVE).hexdigest()}" in after
    assert "BreaKHis_v1: whole, 3 images" in after
    data = tmp_path / "new" / "data"
    assert names_in(data) == {"BreaKHis_v1"}
    index = breakhis.index(data)
    assert sorted(index["image"]) == sorted(NAMES)
    assert set(index["label"]) == {"benign", "malignant"}
    assert all((data / name).read_bytes() == content for name, content in FILES.items())

    asked = len(server.requests)
    assert run("breakhis", "--data-dir", data, "--url", server.url) == 0
    assert "whole already, 3 images; nothing to do" in capsys.readouterr().out
    assert len(server.requests) == asked


def test_default_address(server, tmp_path, monkeypatch, tiny):
    monkeypatch.setattr(breakhis, "URL", server.url)
    monkeypatch.setenv(datasets.DATA_VARIABLE, str(tmp_path))
    assert run("breakhis", "--keep-archive") == 0
    assert names_in(tmp_path) == {"BreaKHis_v1", "BreaKHis_v1.tar.gz"}


def test_addresses_in_the_cards():
    assert breakhis.URL == "http://www.inf.ufpr.br/vri/databases/BreaKHis_v1.tar.gz"
    assert bach.URL == "https://zenodo.org/records/3632035/files/ICIAR2018_BACH_Challenge.zip"
    assert bci.URL is None
    for card in (breakhis, bach, bci):
        assert card.LAYOUT.split("/")[0].strip() == card.FOLDER


def test_part_of_the_data_set_is_not_called_whole(server, tmp_path, capsys):
    assert run("breakhis", "--data-dir", tmp_path, "--url", server.url) == 1
    assert "NOT whole: 3 of 7909 images; the archive is kept" in capsys.readouterr().out
    assert names_in(tmp_path) == {"BreaKHis_v1", "BreaKHis_v1.tar.gz"}
    with pytest.raises(InputError, match=r"holds a part of BreakHis already: 3 of 7909"):
        run("breakhis", "--data-dir", tmp_path, "--url", server.url)


def test_archive_that_is_there(tmp_path, tiny, capsys):
    file = tmp_path / "mine.tgz"
    file.write_bytes(ARCHIVE)
    for number, flags in enumerate(
        [("--archive", file), ("--url", file), ("--url", file.as_uri())]
    ):
        data = tmp_path / f"data{number}"
        assert run("breakhis", "--data-dir", data, *flags) == 0
        assert len(breakhis.index(data)) == 3
    assert file.read_bytes() == ARCHIVE
    data = tmp_path / "killed while unpacking"
    (data / ".unpacking-breakhis" / "BreaKHis_v1").mkdir(parents=True)
    (data / "BreaKHis_v1.tar.gz").write_bytes(ARCHIVE)
    capsys.readouterr()
    assert run("breakhis", "--data-dir", data) == 0  # asks no server
    assert "downloaded before" in capsys.readouterr().out
    assert names_in(data) == {"BreaKHis_v1"}


def test_several_folders_at_the_top(tmp_path, tiny):
    file = tmp_path / "a.zip"
    names = [name.removeprefix(f"{TREE}/") for name in NAMES]
    file.write_bytes(zipped(dict(zip(names, FILES.values(), strict=True))))
    assert run("breakhis", "--data-dir", tmp_path / "data", "--archive", file) == 0
    assert (tmp_path / "data" / "BreaKHis_v1" / names[0]).is_file()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (tar_gz({"x/readme.txt": b"hello"}), r"this is not BreakHis: .*no image of BreakHis"),
        (tar_gz(dict.fromkeys(NAMES, b"")), r"this is not BreakHis: .*images are empty"),
        (ARCHIVE[:-9], r"damaged.*delete the file and download it again"),
        (tar_of(member("../x")), r"refused"),
        (b"<html>" * 100, r"not a \.zip, \.tar\.gz or \.tar"),
    ],
)
def test_wrong_archive_leaves_nothing(tmp_path, content, message):
    file = tmp_path / "a"
    file.write_bytes(content)
    with pytest.raises(InputError, match=message):
        run("breakhis", "--data-dir", tmp_path / "data", "--archive", file)
    assert names_in(tmp_path / "data") == set()
    assert file.exists()


def test_folder_in_the_way(server, tmp_path):
    (tmp_path / "BreaKHis_v1" / "notes").mkdir(parents=True)
    with pytest.raises(InputError, match=r"BreaKHis_v1 exists but is no copy to use"):
        run("breakhis", "--data-dir", tmp_path, "--url", server.url)
    assert not server.requests
    with pytest.raises(InputError, match="not a folder"):
        run("breakhis", "--data-dir", __file__)
    with pytest.raises(InputError, match="no such file"):
        run("breakhis", "--data-dir", tmp_path / "new", "--archive", tmp_path / "missing")
    with pytest.raises(InputError, match="Give a folder with --data-dir"):
        run("breakhis")


def test_synthetic_folder_is_refused(tmp_path, tiny):
    for name in NAMES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(FILES[name])
    (tmp_path / datasets.SYNTHETIC_MARKER).write_text("synthetic")
    with pytest.raises(InputError, match="3 SYNTHETIC images"):
        run("breakhis", "--data-dir", tmp_path)


def test_bci_says_where_to_ask(tmp_path, capsys, monkeypatch):
    with pytest.raises(InputError, match=rf"(?s){re.escape(bci.HOME)}.*--archive") as caught:
        run("bci", "--data-dir", tmp_path)
    assert bci.LICENCE in str(caught.value)
    assert bci.CITATION in capsys.readouterr().out
    names = [
        f"BCI_dataset/{s}/{p}/00001_{p}_2+.png" for s in ("HE", "IHC") for p in ("train", "test")
    ]
    (tmp_path / "a.zip").write_bytes(zipped(dict.fromkeys(names, b"x")))
    monkeypatch.setattr(bci, "EXPECTED_COUNTS", {("train", "2+"): 1, ("test", "2+"): 1})
    monkeypatch.setattr(bci, "EXPECTED_IMAGES", 2)
    assert run("bci", "--data-dir", tmp_path / "data", "--archive", tmp_path / "a.zip") == 0
    assert len(bci.pairs(tmp_path / "data")) == 2


BACH = zipped({f"ICIAR2018_BACH_Challenge/Photos/{label}/{prefix}001.tif": noise(9000)
               for prefix, label in bach.PREFIXES.items()})  # fmt: skip


def record(size: int, checksum: str, entries: bool = False) -> bytes:
    file = {"key": bach.ARCHIVE, "size": size, "checksum": checksum}
    other = {"key": "other.zip", "size": 1, "checksum": "md5:00"}
    files = {"entries": {"o": other, "b": file}} if entries else [other, file]
    return json.dumps({"files": files}).encode()


@pytest.fixture
def zenodo(server, monkeypatch):
    monkeypatch.setattr(bach, "EXPECTED_COUNTS", dict.fromkeys(bach.PREFIXES.values(), 1))
    monkeypatch.setattr(bach, "EXPECTED_IMAGES", 4)
    monkeypatch.setattr(bach, "URL", server.url)
    monkeypatch.setattr(bach, "RECORD", server.url.replace("BreaKHis_v1.tar.gz", "record"))
    server.body = BACH
    return server


@pytest.mark.parametrize("entries", [False, True])
def test_bach_checksum_from_its_record(zenodo, tmp_path, entries, capsys):
    digest = hashlib.md5(BACH).hexdigest()
    zenodo.pages["/record"] = record(len(BACH), f"md5:{digest}", entries)
    assert run("bach", "--data-dir", tmp_path) == 0
    said = capsys.readouterr()
    assert "comparing the md5" in said.err and "non-commercial" not in said.err
    assert bach.LICENCE in said.out
    assert len(bach.index(tmp_path)) == 4


def test_bach_that_is_not_the_published_one(zenodo, tmp_path):
    zenodo.pages["/record"] = record(len(BACH), f"md5:{0:032x}")
    with pytest.raises(InputError, match=r"not the published file.*deleted"):
        run("bach", "--data-dir", tmp_path)
    zenodo.pages["/record"] = record(len(BACH) + 1, f"md5:{0:032x}")
    with pytest.raises(InputError, match=rf"the published file has {len(BACH) + 1}"):
        run("bach", "--data-dir", tmp_path)
    assert names_in(tmp_path) == set()


@pytest.mark.parametrize("page", [None, b"", b"<html>", b"[]", b'{"files": []}', b'{"files": 3}',
                                  record(1, "crc:00"), record(1, "md5:../../x")])  # fmt: skip
def test_bach_without_a_record(zenodo, tmp_path, page, capsys):
    if page is None:
        zenodo.plan = [{"status": 404}]
    else:
        zenodo.pages["/record"] = page
    assert run("bach", "--data-dir", tmp_path) == 0
    assert "warning: " in (said := capsys.readouterr().err) and "no published size" in said


def test_two_at_once(server, tmp_path):
    with (
        filelock.FileLock(tmp_path / ".download-breakhis.lock"),
        pytest.raises(InputError, match="another process is downloading"),
    ):
        run("breakhis", "--data-dir", tmp_path, "--url", server.url)
    assert not server.requests


def start(*arguments) -> subprocess.Popen:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "common.datasets", "download", *map(str, arguments)],
        cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        # A shell that starts tests in the background has them ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_killed_process_continues_to_the_same_bytes(server, tmp_path, how, tiny, monkeypatch):
    server.plan = [{"stall": 150_000}]
    with start("breakhis", "--data-dir", tmp_path, "--url", server.url) as process:
        part = tmp_path / "BreaKHis_v1.tar.gz.part"
        limit = time.monotonic() + 30
        while not (part.exists() and part.stat().st_size == 150_000):
            assert time.monotonic() < limit and process.poll() is None, process.communicate()
            time.sleep(0.02)
        process.send_signal(how)
        _, errors = process.communicate(timeout=20)
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert "0.1 MB are kept in" in errors and "Traceback" not in errors
    assert names_in(tmp_path) == {part.name, f"{part.name}.json"}
    assert run("breakhis", "--data-dir", tmp_path, "--url", server.url, "--keep-archive") == 0
    assert server.ranges() == [None, "bytes=149000-"]
    assert (tmp_path / "BreaKHis_v1.tar.gz").read_bytes() == ARCHIVE


def test_interrupted_while_unpacking(tmp_path, monkeypatch, capsys, tiny):
    file = tmp_path / "a"
    file.write_bytes(ARCHIVE)

    def interrupt(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(terminal.Bar, "at", interrupt)
        run("breakhis", "--data-dir", tmp_path / "data", "--archive", file)
    assert "nothing is unpacked" in capsys.readouterr().err
    assert names_in(tmp_path / "data") == set()
    assert run("breakhis", "--data-dir", tmp_path / "data", "--archive", file) == 0


def test_full_disk(server, tmp_path):
    """On a real file system of 300 kB, in a name space of its own."""
    script = 'mount -t tmpfs -o size=300k none "$0" && "$@"; echo "rc $?"; ls -A "$0"; df "$0"'

    def small(*arguments):
        return subprocess.run(
            ["unshare", "-rm", "sh", "-c", script, tmp_path, *arguments],
            cwd=ROOT, text=True, capture_output=True, timeout=60,
        )  # fmt: skip

    if shutil.which("unshare") is None or "rc 0" not in small("true").stdout:
        pytest.skip("no file system may be mounted here")
    here = [sys.executable, "-m", "common.datasets", "download", "breakhis", "--data-dir", tmp_path]
    server.body = tar_gz({NAMES[0]: noise(900_000)})
    server.always = {"no_length": True}  # or the check of the space would see it coming
    result = small(*here, "--url", server.url)
    assert "rc 2" in result.stdout
    assert "No space left on device" in result.stderr and "make room" in result.stderr
    assert "Traceback" not in result.stderr
    assert "\nBreaKHis_v1.tar.gz\n" not in result.stdout
    assert "\nBreaKHis_v1.tar.gz.part\n" in result.stdout

    archive = tmp_path.with_name(f"{tmp_path.name}.tgz")
    archive.write_bytes(tar_gz({name: bytes(400_000) for name in NAMES}))
    result = small(*here, "--archive", archive)
    assert "rc 2" in result.stdout
    assert "No space left on device" in result.stderr and "Traceback" not in result.stderr
    assert "unpacking" not in result.stdout and "BreaKHis_v1\n" not in result.stdout


# --- weights -----------------------------------------------------------------------------------


def test_weights_for_a_machine_without_network(tmp_path, monkeypatch, capsys):
    from common.backbones import NETWORKS, __main__, weights

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "models").mkdir()
    asked = []

    def keras_downloads(name, image_size, weights, include_top):
        asked.append((name, image_size, weights, include_top))
        top = "" if include_top else "_notop"
        (tmp_path / "models" / f"{name}_weights_{image_size}{top}.h5").write_bytes(bytes(2_000_000))

    monkeypatch.setattr(weights, "load", keras_downloads)
    __main__.main(["download", "mobilenet_v2", "mobilenet", "vgg19", "mobilenet"])
    assert asked == [
        ("mobilenet_v2", 224, "imagenet", False), ("mobilenet", 224, "imagenet", False),
        ("vgg19", 224, "imagenet", False), ("vgg19", 224, "imagenet", True),
    ]  # fmt: skip
    models = tmp_path / "models"
    assert capsys.readouterr().out.splitlines()[:-1] == [
        f"mobilenet_v2: {models / 'mobilenet_v2_weights_224_notop.h5'} (2.0 MB)",
        f"mobilenet: {models / 'mobilenet_weights_224_notop.h5'} (2.0 MB)",
        f"vgg19: {models / 'vgg19_weights_224.h5'} (2.0 MB)",
        f"vgg19: {models / 'vgg19_weights_224_notop.h5'} (2.0 MB)",
    ]
    asked.clear()
    __main__.main(["download", "all", "--image-size", "160"])
    assert {name for name, *_ in asked} == set(NETWORKS)
    with pytest.raises(SystemExit):
        __main__.main(["download", "resnet51"])
