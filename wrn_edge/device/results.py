"""results.csv: one line per picture, on the disk before the next picture is begun."""

from __future__ import annotations

import contextlib
import csv
import fcntl
import io
import os
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from errors import InputError

COLUMNS = (
    "time", "image", "bytes", "mtime_ns", "status", "label", "probability", "reason", "dark",
    "stained", "ms", "model",
)  # fmt: skip
LATEST = 60  # lines that a page can go back to
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")  # what a spreadsheet would compute
CLASSIFIED, NOT_TISSUE, UNUSABLE = "classified", "not tissue", "unusable"


def one_line(name: str) -> str:
    """Spell a file name without line breaks and other control characters.

    Parameters
    ----------
    name : str
    """
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in name
    )


def told(value: object) -> str:
    """A field as it stands in the file: one line, and no formula for a spreadsheet.

    Parameters
    ----------
    value : object
    """
    text = one_line(str(value))
    try:
        float(text)  # a number may begin with a sign
    except ValueError:
        return f"'{text}" if text.lstrip().startswith(_FORMULA) else text
    return text


class Nowhere:
    """Results that are shown and not kept."""

    path: Path | None = None

    def __contains__(self, key: tuple[str, int, int, str]) -> bool:
        """Nothing is."""
        return False

    def add(self, row: dict[str, object]) -> None:
        """Forget a row.

        Parameters
        ----------
        row : dict
        """

    def close(self) -> None:
        """Do nothing."""


class Results:
    """A CSV file that only grows, and survives a power cut.

    Each line is flushed to the disk (fsync) before `add` returns. A line that a power cut tore
    is cut off when the file is opened again: its picture counts as not done. `latest` and `counts`
    are what the file held when it was opened: its last lines, and how many have which status.

    Parameters
    ----------
    path : path
        Made if it does not exist.
    classes : sequence of str
        Each has a column ``p_<class>``.

    Raises
    ------
    InputError
        If the file cannot be written, is another table, or another process writes to it.
    """

    def __init__(self, path: str | os.PathLike, classes: Sequence[str]):
        self.path = Path(path)
        self.columns = (*COLUMNS, *(f"p_{name}" for name in classes))
        try:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise InputError(
                f"{self.path}: cannot be written ({error.strerror}); name another place with --csv"
            ) from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise InputError(
                f"{self.path}: another infer.py writes to it; stop that one, or name another "
                "file with --csv"
            ) from None
        try:
            self.counts: dict[str, int] = {}
            self.latest: deque[dict[str, str]] = deque(maxlen=LATEST)
            self._done, self._end = self._read()
            if self._end == 0:
                self._append(self._line(self.columns))
                self._sync_folder()
        except BaseException:
            os.close(self._file)
            raise

    def _read(self) -> tuple[set[tuple[str, str, str, str]], int]:
        """What is done, by (image, bytes, mtime_ns, model), and the file's length."""
        done: set[tuple[str, str, str, str]] = set()
        end, torn = 0, None
        with os.fdopen(os.dup(self._file), "rb") as file:
            file.seek(0)
            for number, raw in enumerate(file, 1):
                # After a power cut a file may end in half a line, or in zeros.
                if not raw.endswith(b"\n") or b"\0" in raw:
                    torn = torn or number
                    continue
                if torn:
                    raise InputError(
                        f"{self.path}: line {torn} is damaged, with good lines after it; keep the "
                        "file and name another one with --csv"
                    )
                fields = next(csv.reader([raw.decode("utf-8", "surrogateescape")]), [])
                if number == 1 and tuple(fields) != self.columns:
                    raise InputError(
                        f"{self.path}: is another table (its columns differ); name another file "
                        "with --csv"
                    )
                if len(fields) == len(self.columns):
                    row = dict(zip(self.columns, fields))
                    if number > 1:
                        self.latest.append(row)
                        self.counts[row["status"]] = self.counts.get(row["status"], 0) + 1
                    done.add((told(row["image"]), row["bytes"], row["mtime_ns"], row["model"]))
                end += len(raw)
        if torn:
            os.ftruncate(self._file, end)
            os.fsync(self._file)
        return done, end

    def __contains__(self, key: tuple[str, int, int, str]) -> bool:
        """Whether (image, bytes, mtime_ns, model) stands in the file."""
        name, size, mtime_ns, model = key
        return (told(name), str(size), str(mtime_ns), model) in self._done

    def add(self, row: dict[str, object]) -> None:
        """Append a row and wait until the disk has it.

        Parameters
        ----------
        row : dict
            By column; what is missing stays empty.

        Raises
        ------
        InputError
            If the disk is full or gone; the rows before are safe and no half line is left.
        """
        fields = {name: told(row.get(name, "")) for name in self.columns}
        self._append(self._line(list(fields.values())))
        self._done.add((fields["image"], fields["bytes"], fields["mtime_ns"], fields["model"]))

    @staticmethod
    def _line(fields: Sequence[object]) -> bytes:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(fields)
        return text.getvalue().encode("utf-8", "surrogateescape")

    def _append(self, line: bytes) -> None:
        try:
            rest = line
            while rest:
                rest = rest[os.write(self._file, rest) :]
            os.fsync(self._file)
        except OSError as error:
            # If the disk is gone this fails too; the next start cuts the half line off.
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._end)
            raise InputError(
                f"{self.path}: cannot be written any more ({error.strerror}); the results before "
                "are safe: make room or plug the drive in, and start the same command again"
            ) from None
        self._end += len(line)

    def _sync_folder(self) -> None:
        folder = os.open(self.path.absolute().parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def close(self) -> None:
        """Close the file and let others write to it."""
        os.close(self._file)
