"""The file of API keys, `API_KEYS_FILE`: a JSON array, which stores only hashes of the keys.

[{"name": "shop", "sha256": "5df6e0e2...", "scopes": ["read", "write"],
  "created": "2026-11-26T09:00:00Z", "limit": "1000/second", "expires": "2027-01-01T00:00:00Z"}]
"""

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec
from limits import RateLimitItem, parse
from msgspec import Meta

from api.http.endpoint import Scope
from api.http.keys.key import Key
from api.http.writing import MAX_EVENTS


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A key in the file."""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,64}\Z")]
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    scopes: Annotated[tuple[Scope, ...], Meta(min_length=1)]
    created: Annotated[datetime, Meta(tz=True)]
    limit: str | None = None
    """such as `1000/second`"""
    expires: Annotated[datetime, Meta(tz=True)] | None = None

    def key(self) -> Key:
        """Return the key; ValueError if its limit is invalid, or below a full request."""
        limit = parse_limit(self.limit, self.scopes) if self.limit is not None else None
        expires_s = self.expires.timestamp() if self.expires else None
        return Key(self.name, frozenset(self.scopes), limit, expires_s)


class KeysFileError(ValueError):
    """The file cannot be used: names the file, the reason and the remedy."""


def parse_limit(text: str, scopes: Sequence[Scope]) -> RateLimitItem:
    """Parse a limit such as `1000/second`.

    Raises:
        ValueError: it is invalid, or below the events of a full request for a key that writes.
    """
    try:
        limit = parse(text)
    except ValueError:
        raise ValueError(f"invalid limit {text!r}: use, for example, 1000/second") from None
    least = MAX_EVENTS if "write" in scopes else 1
    if limit.amount < least:
        raise ValueError(f"the limit {text!r} is below the {least} of one request: raise it")
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
    for n, entry in enumerate(entries):
        if entry.name in {other.name for other in entries[:n]}:
            raise KeysFileError(f"API_KEYS_FILE {path}: two keys have the name {entry.name!r}")
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
        yield entries
        _replace(target, msgspec.json.format(msgspec.json.encode(entries)) + b"\n")
    finally:
        os.close(folder)


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
