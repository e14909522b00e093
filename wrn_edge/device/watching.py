"""Watch a folder, such as a USB drive, and classify what arrives there."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from finding import Found, pictures
from pixels import ImageError
from session import Session

RETRY_SECONDS = (1.0, 3.0, 9.0)


class Watcher:
    """Classifies pictures as they arrive in a folder.

    A file is begun when its size and time have not changed between two looks. If it then proves
    incomplete it is tried again after 1, 3 and 9 seconds before it is given up; a later change of
    the file starts anew. The folder may vanish and come back, as a USB drive does.

    Parameters
    ----------
    session : Session
    folder : Path
    """

    def __init__(self, session: Session, folder: Path):
        self.session = session
        self.folder = folder
        self._seen: dict[str, tuple[Found, float, int]] = {}  # file, not before, tries
        self._missing = False

    def look(self, now: float) -> bool:
        """Go through the folder once; say whether anything was written.

        Parameters
        ----------
        now : float
            Seconds, from any moment on; never less than at the look before.
        """
        if not self.folder.is_dir():
            if not self._missing:
                print(f"waiting for {self.folder}", file=sys.stderr, flush=True)
            self._missing = True
            return False
        self._missing = False
        before, self._seen = self._seen, {}
        wrote = False
        for found in pictures(self.folder):
            if self.session.done(found):
                continue
            known, not_before, tries = before.get(found.name, (None, now, 0))
            if known != found:  # new, or still being copied
                self._seen[found.name] = (found, now, 0)
            elif now < not_before:
                self._seen[found.name] = (found, not_before, tries)
            else:
                wrote = self._try(found, now, tries) or wrote
        return wrote

    def _try(self, found: Found, now: float, tries: int) -> bool:
        try:
            self.session.classify(found)
        except ImageError as error:
            if error.incomplete and tries < len(RETRY_SECONDS):
                self._seen[found.name] = (found, now + RETRY_SECONDS[tries], tries + 1)
                return False
            self.session.give_up(found, str(error))
        return True


def watch(session: Session, folder: Path, every: float) -> None:
    """Classify what arrives in a folder, until the program is stopped.

    Parameters
    ----------
    session : Session
    folder : Path
    every : float
        Seconds between two looks.
    """
    watcher = Watcher(session, folder)
    while True:
        watcher.look(time.monotonic())
        time.sleep(every)
