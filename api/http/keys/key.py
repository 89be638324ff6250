"""An API key, and which one admitted a request."""

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, get_args

from limits import RateLimitItem
from starlette.requests import HTTPConnection, Request

from api.http.endpoint import Scope
from api.http.limits import client_of

Grant = Literal["read", "read:users", "read:recommendations", "read:pipeline", "write", "admin"]
"""What a key is given: scopes, or `read` for all that read."""

PREFIX: Final = "tk_"
"""The prefix by which people and secret scanners recognize a key."""
_RANDOM_BYTES: Final = 32
_SHOWN_DIGITS: Final = 8
_READS: Final[frozenset[Scope]] = frozenset(
    scope for scope in get_args(Scope) if scope.startswith("read:")
)
_IN_SCOPE: Final = "tickrec.key"


@dataclass(frozen=True, slots=True)
class Key:
    """A key's scopes, limit and expiry."""

    name: str
    scopes: frozenset[Scope]
    limit: RateLimitItem | None = None
    """on read requests and, instead of `WRITE_LIMIT`, on the events that it writes"""
    expires_s: float | None = None
    """epoch s"""


def granted(grants: Iterable[Grant]) -> frozenset[Scope]:
    """Return the scopes that grants stand for.

    >>> sorted(granted(["read", "write"]))
    ['read:pipeline', 'read:recommendations', 'read:users', 'write']
    """
    return frozenset[Scope]().union(*(_READS if g == "read" else {g} for g in grants))


def digest_of(text: bytes) -> bytes:
    """Return the stored form of a key: its SHA-256.

    A deliberately slow hash protects passwords, which can be guessed. A key has 256 random bits:
    nobody can guess it, however fast the hash.
    """
    return hashlib.sha256(text).digest()


def new_text() -> str:
    """Return a new key with 256 random bits."""
    return PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def plain_keys(texts: frozenset[str]) -> dict[bytes, Key]:
    """Return the keys of `API_KEYS`, by digest: they read and write, and never expire."""
    digests = [digest_of(text.encode()) for text in texts]
    return {digest: Key(_plain_name(digest), granted(("read", "write"))) for digest in digests}


def _plain_name(digest: bytes) -> str:
    """Return a name that no key of the file can have."""
    return f"API_KEYS:{digest.hex()[:_SHOWN_DIGITS]}"


def note_key(request: Request, key: Key) -> None:
    """Note the key that admitted a request."""
    request.scope[_IN_SCOPE] = key


def key_of(request: Request) -> Key | None:
    """Return the key that admitted a request, None if none was needed."""
    key: Key | None = request.scope.get(_IN_SCOPE)
    return key


def client_names(connection: HTTPConnection, key: Key | None) -> list[str]:
    """Return the names that a client's share counts under: its address, and its key if any."""
    address = client_of(connection.scope)
    return [address] if key is None else [address, f"key {key.name}"]


def caller_of(request: Request) -> str:
    """Return the name of the key that admitted a request, `api` if none was needed."""
    key = key_of(request)
    return key.name if key is not None else "api"
