"""The current keys, which follow their file, so that they change without a restart."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Gauge

from api.http.keys.file import KeysFileError, read_keys
from api.http.keys.key import Key, plain_keys

LOOK_EVERY_S: Final = 1.0

ByDigest = Mapping[bytes, Key]

_log = logging.getLogger(__name__)


class Keys:
    """The keys of `API_KEYS`, and those of the last valid version of the file."""

    def __init__(
        self, plain: frozenset[str], path: Path | None, registry: CollectorRegistry
    ) -> None:
        """Read the file, if there is one; KeysFileError if it cannot be used."""
        self._plain = plain_keys(plain)
        self._path = path
        self._version = _version_of(path)
        self._of_file = read_keys(path) if path is not None else {}
        self._broken = Gauge(
            "api_keys_file_broken",
            "1 while the key file is unusable and its last valid keys remain in effect",
            registry=registry,
        )

    @property
    def by_digest(self) -> ByDigest | None:
        """The current keys; None if no keys are set up, so that everything is open.

        An empty file still requires a key: removing the last key must not open everything.
        """
        if not self._plain and self._path is None:
            return None
        return {**self._plain, **self._of_file}

    @contextlib.asynccontextmanager
    async def followed(self, use: Callable[[ByDigest], None]) -> AsyncIterator[None]:
        """Call `use` with the keys whenever they change, for the block."""

        async def follow() -> None:
            while True:
                await asyncio.sleep(LOOK_EVERY_S)
                if self._changed():
                    use(self.by_digest or {})

        if self._path is None:
            yield
            return
        following = asyncio.create_task(follow())
        try:
            yield
        finally:
            following.cancel()

    def _changed(self) -> bool:
        """Read the file if it has changed; return whether its keys are now in effect."""
        version = _version_of(self._path)
        if version == self._version or self._path is None:
            return False
        self._version = version
        try:
            self._of_file = read_keys(self._path)
        except KeysFileError as error:
            self._broken.set(1)
            _log.error("the previous keys remain in effect: %s", error)
            return False
        self._broken.set(0)
        _log.info("the key file has changed: %d keys are in effect", len(self._of_file))
        return True


def _version_of(path: Path | None) -> tuple[int, int, int] | None:
    """Return a value that changes when a file is written or replaced; None if there is none."""
    if path is None:
        return None
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
