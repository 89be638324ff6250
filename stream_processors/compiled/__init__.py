"""What numba compiles: the way from the bytes of a fetch to columns of quotes.

`frames` finds the records in Kafka batches, in Python where numba is missing. `quotes` parses those
quotes that are written as nearly all are; msgspec parses the others, and all of them without numba:
what is valid is up to it.
"""

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import structlog

from contracts.batches import ReadQuotes
from stream_processors.compiled import frames

log = structlog.get_logger()


_OF_IMAGE: Final = Path(sys.prefix, "numba")
"""Compiled when the image was built, on another machine."""


class Code:
    """The compiled functions, or their substitutes on platforms without numba."""

    def __init__(self) -> None:
        self.read_frames = frames.interpreted
        self.ordinary_quotes: ReadQuotes | None = None
        self.is_loading = False
        """so that nothing is fetched yet: to parse it without would take longer than to wait"""

    def load(self) -> None:
        """Load the functions, or compile and keep them for the next start."""
        self.is_loading = True
        try:
            self._load()
        finally:
            self.is_loading = False

    def _load(self) -> None:
        started_s = time.monotonic()
        _configure()
        try:
            # Imported here, as each of them needs numba.
            from stream_processors.compiled import compiled_frames, quotes
        except Exception as error:  # noqa: BLE001 (of numba, LLVM or the linker: none is needed)
            log.warning(
                "numba cannot be loaded: records and quotes are parsed without it, which takes "
                "several times as long",
                error=repr(error),
            )
            return
        self.read_frames, self.ordinary_quotes = compiled_frames.read, quotes.read
        log.info("compiled code is loaded", seconds=round(time.monotonic() - started_s, 1))


def _configure() -> None:
    """Tell numba, before it is imported, what to compile for, and where the code is."""
    # For any processor of the architecture: all hosts can run what an image has.
    os.environ.setdefault("NUMBA_CPU_NAME", "generic")
    if _OF_IMAGE.is_dir() and "NUMBA_CACHE_DIR" not in os.environ:
        # An image is read-only, and numba reads code only from where it could also write.
        copy = Path(tempfile.mkdtemp(), "numba")
        os.environ["NUMBA_CACHE_DIR"] = str(shutil.copytree(_OF_IMAGE, copy))


CODE = Code()
"""Of this process."""
