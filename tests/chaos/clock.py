"""A wall clock of a process that may be set: libfaketime (Debian: faketime) stands in for it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

_LIBRARIES: Final = (
    "/usr/lib/*/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
)


class NoFaketimeError(RuntimeError):
    """libfaketime is not installed here."""


class Clock:
    """Of one process, right until it is set; the monotonic clock runs on."""

    def __init__(self, file: Path) -> None:
        """Take where the process is to look up how far off it is.

        Raises:
            NoFaketimeError: there is no libfaketime.
        """
        self._library = _library()
        self._file = file
        self.set_off_by(0)

    def environment(self) -> Mapping[str, str]:
        """Return what the process must be started with."""
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set_off_by(self, seconds: int) -> None:
        """Set the clock ahead, or back if negative; the process notices within a second."""
        half_done = self._file.with_suffix(".new")
        half_done.write_text(f"{seconds:+d}\n")
        half_done.rename(self._file)


def _library() -> Path:
    for pattern in _LIBRARIES:
        for file in Path("/").glob(pattern.lstrip("/")):
            return file
    raise NoFaketimeError("there is no libfaketime: install it (Debian: faketime)")
