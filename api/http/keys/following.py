"""The keys that hold now, and how they follow their file, so that they change without a restart."""

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
    """The keys of `API_KEYS`, and those of a file as it was when it could last be used."""

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
            "1 while the file of keys cannot be used, and the keys that it had still hold",
            registry=registry,
        )

    @property
    def by_digest(self) -> ByDigest | None:
        """The keys that hold; None if none are set up, and everybody may do everything.

        With a file without any key nobody may do what needs one: taking out the last key must not
        open all to all.
        """
        if not self._plain and self._path is None:
            return None
        return {**self._plain, **self._of_file}

    @contextlib.asynccontextmanager
    async def followed(self, use: Callable[[ByDigest], None]) -> AsyncIterator[None]:
        """Call `use` with the keys each time that they change, for as long as the block lasts."""

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
        """Read the file if it is another one by now; return whether its keys hold from now on."""
        version = _version_of(self._path)
        if version == self._version or self._path is None:
            return False
        self._version = version
        try:
            self._of_file = read_keys(self._path)
        except KeysFileError as error:
            self._broken.set(1)
            _log.error("the keys before still hold: %s", error)
            return False
        self._broken.set(0)
        _log.info("the file of keys has changed: %d hold from now on", len(self._of_file))
        return True


def _version_of(path: Path | None) -> tuple[int, int, int] | None:
    """Return what differs once a file is written or replaced; None if there is none."""
    if path is None:
        return None
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
