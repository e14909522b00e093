"""One answer of a server: opening an address, and sorting what may go wrong by what helps."""

from __future__ import annotations

import http.client
import ssl
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import IO, Any

from common import terminal
from common.errors import InputError

CHUNK = 1 << 20  # bytes read at once
ELSEWHERE = "--url gives another address, --archive a copy that you have"

_RETRIED = {408, 425, 429, 500, 502, 503, 504, 507, 520, 521, 522, 523, 524}


class TransientError(Exception):
    """Something that may go better next time.

    Parameters
    ----------
    reason : str
        What happened, for a message.
    wait : float, optional
        Seconds that the server asks to wait.
    """

    def __init__(self, reason: str, wait: float | None = None):
        super().__init__(reason)
        self.wait = wait


class ChangedError(TransientError):
    """The server's file is not the one that a part belongs to."""


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follow redirections to http and https only, and never from https to http."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any,
        newurl: str,
    ) -> urllib.request.Request | None:  # fmt: skip
        old, new = (urllib.parse.urlsplit(address).scheme for address in (req.full_url, newurl))
        if new not in ("http", "https") or (old == "https" and new == "http"):
            raise InputError(
                f"{shown(req.full_url)}: redirected to an unsafe address, {terminal.plain(new)}:"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def connect(url: str, headers: dict[str, str], timeout: float) -> http.client.HTTPResponse:
    """Open an address. Proxies are taken from the usual environment variables.

    Parameters
    ----------
    url : str
        An http or https address (`checked`).
    headers : dict
        Of the request, beside the usual ones.
    timeout : float
        Seconds without an answer.

    Raises
    ------
    InputError
        If asking again does not help; the message says what does.
    TransientError
        If it may; `ChangedError` if the server does not have the range that is asked for.
    """
    opener = urllib.request.build_opener(_SafeRedirects)
    # Some servers turn away the name that urllib gives itself.
    headers = {"User-Agent": "histopapers", "Accept-Encoding": "identity", **headers}
    try:
        return opener.open(urllib.request.Request(url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        with error:
            answer = f"the server answers {error.code} {terminal.plain(error.reason)}"
            if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise ChangedError(answer) from None
            if error.code in _RETRIED:
                after = error.headers.get("Retry-After", "")
                raise TransientError(answer, float(after) if after.isdecimal() else None) from None
        raise InputError(f"{shown(url)}: {answer}; {ELSEWHERE}") from None
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise InputError(
                f"{shown(url)}: the server's certificate is not trusted "
                f"({error.reason.verify_message}); behind a proxy that opens connections, name its "
                f"certificate in $SSL_CERT_FILE. {ELSEWHERE}"
            ) from None
        raise TransientError(words(error.reason)) from None
    except http.client.InvalidURL as error:
        raise InputError(f"--url {shown(url)}: {error}") from None
    except (http.client.HTTPException, OSError) as error:
        raise TransientError(words(error)) from None


def read(response: http.client.HTTPResponse, most: int = CHUNK) -> bytes:
    """Read what has arrived already; ``b""`` at the end.

    Parameters
    ----------
    response : HTTPResponse
        What `connect` gave.
    most : int
        Bytes to read at the most.

    Raises
    ------
    TransientError
        If the connection is cut, or nothing comes in time.
    """
    try:
        return response.read1(most)
    except (http.client.HTTPException, OSError, ValueError) as error:
        raise TransientError(words(error)) from None


def validator(response: http.client.HTTPResponse) -> str:
    """What If-Range may hold: a strong ETag, else the date; "" if there is neither.

    Parameters
    ----------
    response : HTTPResponse
        What `connect` gave.
    """
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else response.headers.get("Last-Modified", "")


def checked(url: str) -> str:
    """Give the address back if it is one to download from.

    Parameters
    ----------
    url : str
        What a user gave.

    Raises
    ------
    InputError
        If it is no http or https address, or holds a password.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        right = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1)
    except ValueError:
        right = False
    if not right or not url.isascii() or any(character <= " " for character in url):
        raise InputError(f"--url {shown(url)}: not an http or https address, nor a file")
    if "@" in parts.netloc:
        raise InputError(
            "--url: a password in the address is not supported; download the file with another "
            "program and give it with --archive"
        )
    return url


def local_path(url: str) -> Path | None:
    """Path of the file that a ``file:`` address or a plain path names; None for other addresses.

    Parameters
    ----------
    url : str
        What a user gave.

    Raises
    ------
    InputError
        If a ``file:`` address names a host.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost"):
            raise InputError(f"--url {url}: a file: address names no host; write file:///PATH")
        return Path(urllib.request.url2pathname(parts.path))
    return None if "://" in url else Path(url)


def shown(url: str) -> str:
    """Shorten an address for messages: what follows ``?`` may be secret.

    Parameters
    ----------
    url : str
        Any address.
    """
    return url.partition("?")[0]


def words(error: object) -> str:
    """Say in words what happened to a connection.

    Parameters
    ----------
    error : Exception or str
        What urllib or the system raised.
    """
    if isinstance(error, TimeoutError) or "timed out" in str(error):
        return "no answer in time"
    if isinstance(error, http.client.IncompleteRead):
        return "the connection was cut"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
