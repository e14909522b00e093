"""Pictures from a camera, through the program that the system brings for it."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import time
from pathlib import Path

from errors import InputError

# Raspberry Pi OS since Bookworm, before it, and USB cameras.
COMMANDS = (
    "rpicam-still --nopreview --encoding png --output {}",
    "libcamera-still --nopreview --encoding png --output {}",
    "fswebcam --quiet --no-banner --png 1 {}",
)
TIMEOUT_SECONDS = 60


class CameraError(Exception):
    """A picture could not be taken; the next one may succeed."""


class Camera:
    """Takes pictures into a folder, named by the time.

    Parameters
    ----------
    folder : path
        Made if it does not exist.
    command : str, optional
        Writes one picture to the path that stands for ``{}``.

    Raises
    ------
    InputError
        If the folder cannot be made, the command has no ``{}``, or there is no program for
        cameras.
    """

    def __init__(self, folder: Path, command: str | None = None):
        self.folder = folder
        self._command = self._arguments(command)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"{folder}: cannot be made ({error.strerror}); name another with --captures"
            ) from None

    @staticmethod
    def _arguments(command: str | None) -> list[str]:
        if command is None:
            command = next((c for c in COMMANDS if shutil.which(c.split()[0])), None)
            if command is None:
                names = ", ".join(c.split()[0] for c in COMMANDS)
                raise InputError(
                    f"no program for a camera here ({names}): install rpicam-apps (the board's "
                    "camera) or fswebcam (USB), or give --camera-command"
                )
        arguments = shlex.split(command)
        if "{}" not in command or shutil.which(arguments[0]) is None:
            raise InputError(
                f"--camera-command {command!r}: give a program that is installed, and {{}} where "
                "the picture's file belongs"
            )
        return arguments

    def shoot(self) -> Path:
        """Take a picture; give its file, which is complete on the disk.

        Raises
        ------
        CameraError
            If the program fails or leaves no picture.
        """
        half = self.folder / ".capture.png"
        half.unlink(missing_ok=True)
        arguments = [argument.replace("{}", str(half)) for argument in self._command]
        try:
            done = subprocess.run(
                arguments,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=TIMEOUT_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CameraError(f"{arguments[0]}: {error}") from None
        if done.returncode or not half.is_file() or half.stat().st_size == 0:
            words = done.stderr.decode(errors="replace").strip().split("\n")[-1]
            raise CameraError(f"{arguments[0]} took no picture (exit {done.returncode}): {words}")
        with half.open("rb") as file:
            os.fsync(file.fileno())
        second, number = time.strftime("%Y%m%d-%H%M%S"), 0
        while (path := self.folder / f"{second}-{number:02d}.png").exists():
            number += 1
        return half.replace(path)
