"""The file of API keys, `API_KEYS_FILE`: a JSON array, which stores only hashes of the keys.

[{"name": "shop", "sha256": "5df6e0e2...", "scopes": ["read", "write"],
  "created": "2026-11-26T09:00:00Z", "limit": "1000/second", "expires": "2027-01-01T00:00:00Z"}]

The current keys follow the file, so that they change without a restart.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import msgspec
from limits import RateLimitItem, parse_many
from msgspec import Meta
from prometheus_client import CollectorRegistry, Gauge

from api.http.bodies import MAX_EVENTS
from api.http.keys.access import Grant, Key, granted, plain_keys

LOOK_EVERY_S: Final = 1.0

ByDigest = Mapping[bytes, Key]

_log = logging.getLogger(__name__)

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,64}\Z")]


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A key in the file."""

    name: Name
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    scopes: Annotated[tuple[Grant, ...], Meta(min_length=1)]
    created: Annotated[datetime, Meta(tz=True)]
    limit: str | None = None
    """such as `1000/second`"""
    expires: Annotated[datetime, Meta(tz=True)] | None = None

    @property
    def has_expired(self) -> bool:
        """Whether the key has ended."""
        return self.expires is not None and self.expires <= datetime.now(UTC)

    def key(self) -> Key:
        """Return the key; ValueError if its limit is invalid, or below a full request."""
        limit = parse_limit(self.limit, self.scopes) if self.limit is not None else None
        expires_s = self.expires.timestamp() if self.expires else None
        return Key(self.name, granted(self.scopes), limit, expires_s)


class KeysFileError(ValueError):
    """The file cannot be used: names the file, the reason and the remedy."""


def parse_limit(text: str, scopes: Sequence[Grant]) -> RateLimitItem:
    """Parse a limit such as `1000/second`.

    Raises:
        ValueError: it is not one limit, or, for a key that writes, below the events of a request.
    """
    try:
        (limit,) = parse_many(text)
    except ValueError:
        raise ValueError(f"invalid limit {text!r}: use, for example, 1000/second") from None
    least = MAX_EVENTS if "write" in scopes else 1
    if limit.amount < least:
        raise ValueError(f"the limit {text!r} is below a full request: use {least} or more")
    return limit


def read_entries(path: Path) -> list[Entry]:
    """Return the entries of the file.

    Raises:
        KeysFileError: it does not exist, cannot be read, or is invalid.
    """
    try:
        entries = msgspec.json.decode(path.read_bytes(), type=list[Entry])
    except FileNotFoundError:
        remedy = "create it with `python -m api keys add NAME`"
        raise KeysFileError(f"API_KEYS_FILE {path}: no such file: {remedy}") from None
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        raise KeysFileError(f"API_KEYS_FILE {path}: {error}") from error
    names = Counter(entry.name for entry in entries)
    for name, n in names.items():
        if n > 1:
            raise KeysFileError(f"API_KEYS_FILE {path}: two keys have the name {name!r}")
    return entries


def read_keys(path: Path) -> dict[bytes, Key]:
    """Return the keys of the file by their digests; errors as of `read_entries`."""
    try:
        return {bytes.fromhex(entry.sha256): entry.key() for entry in read_entries(path)}
    except KeysFileError:
        raise
    except ValueError as error:
        raise KeysFileError(f"API_KEYS_FILE {path}: {error}") from error


@contextlib.contextmanager
def changing(path: Path) -> Iterator[list[Entry]]:
    """Yield the entries for editing, none if there is no file yet; then replace the file.

    Readers see the old file or the new one, and only its owner can read it. Concurrent changes are
    serialized.
    """
    target = path.resolve()
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        entries = read_entries(target) if target.exists() else []
        before = [*entries]
        yield entries
        if entries != before:
            _replace(target, msgspec.json.format(msgspec.json.encode(entries)) + b"\n")
    finally:
        os.close(folder)


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


def _replace(target: Path, content: bytes) -> None:
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    temporary = Path(name)  # created with mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink()
        raise


def _version_of(path: Path | None) -> tuple[int, int, int] | None:
    """Return a value that changes when a file is written or replaced; None if there is none."""
    if path is None:
        return None
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
