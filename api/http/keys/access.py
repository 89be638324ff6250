"""API keys, and access by them: whether a request's key has the scope that an endpoint needs.

Both paths to an endpoint go through `Access.admit`. If no keys are set up, everything is open.

A key is looked up by its hash. The time of the lookup depends on that hash only and reveals nothing
about the keys: nobody can control how a hash begins. A header that was seen before is found as it
is, without SHA-256, which saves a hot request most of that time; Python, too, compares strings only
if their hashes, which are salted with a secret of the process, are equal.
"""

import hashlib
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal, get_args

from limits import RateLimitItem
from starlette.requests import Request

from api.http.answer_headers import AnswerFields, answer_fields
from api.http.endpoint import Endpoint, ReadEndpoint, Scope
from api.http.problems import FORBIDDEN, UNAUTHORIZED, Problem
from api.http.quotas import Quota
from api.http.reply import Reply
from api.redis.reading import Read

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
RawHeaders = Iterable[tuple[bytes, bytes]]

CREDENTIALS: Final = frozenset({b"x-api-key", b"authorization"})
"""The headers that may have a key."""

MISSING: Final = "Send a key as `X-API-Key: ...` or `Authorization: Bearer ...`"
OPEN_TO_ALL: Final = "anyone who can reach this server may write, read all users, and administer"
_UNKNOWN: Final = "The key does not exist or was removed: send a valid one"
_MAX_KNOWN: Final = 10_000
"""Headers: one key may appear in many forms, as `Bearer` may be written in many ways."""
_MAX_KNOWN_BYTES: Final = 256
"""Of such a header; ours have 53. A longer one is hashed each time: a header may have 64 KiB."""


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


class Access:
    """Admits requests by their keys."""

    def __init__(
        self, keys: Mapping[bytes, Key] | None, now_s: Callable[[], float] = time.time
    ) -> None:
        """Admit by `keys`, keyed by their digests; None admits everyone to everything."""
        self._keys = keys
        self._now_s = now_s
        self._quota = Quota("requests")
        self._known: dict[tuple[bytes, bytes], Key] = {}
        """Keyed by the header as received."""

    def use(self, keys: Mapping[bytes, Key]) -> None:
        """Replace the keys."""
        self._keys = keys
        self._known = {}

    def admit(
        self,
        endpoint: Endpoint,
        of_path: Mapping[str, str],
        query: str,
        headers: RawHeaders,
        answer: AnswerFields,
    ) -> tuple[dict[str, Any], Key | None]:
        """Return the values of a request's parameters, and its key if the endpoint needs one.

        `answer` gets what is left of the key's quota, if it has one, whatever is raised later.

        Raises:
            Problem: there is no valid key, or it does not have the scope, or its limit is reached;
                or parameters are invalid.
        """
        if self._keys is None:
            return endpoint.values(of_path, query), None
        scope, needs_scope, key = endpoint.scope, endpoint.needs_scope, None
        if scope is not None and needs_scope is None:
            key = self._admitted(scope, headers, endpoint.cost, answer)
        values = endpoint.values(of_path, query)
        if scope is not None and needs_scope is not None and needs_scope(**values):
            key = self._admitted(scope, headers, endpoint.cost, answer)
        return values, key

    def begin_read(
        self,
        endpoint: ReadEndpoint,
        of_path: Mapping[str, str],
        query: str,
        headers: RawHeaders,
        answer: AnswerFields,
    ) -> tuple[Read[Reply], Key | None]:
        """Return the read that answers a request, and its key, as `admit` does.

        The framework's routes and the hot path meet here: what follows is the same for both.
        """
        values, key = self.admit(endpoint, of_path, query, headers, answer)
        return endpoint.answer(values), key

    def spend(self, request: Request, reads: int) -> None:
        """Take `reads` reads from the quota of a request's key, if it has one.

        The first was taken when the request was admitted.

        Raises:
            Problem: fewer are left.
        """
        key = key_of(request)
        if key is not None and key.limit is not None:
            # One that costs more than the whole quota takes all of it.
            reads = min(reads, key.limit.amount - 1)
            rate = self._quota.take(key.name, key.limit, reads, before=1)
            answer_fields(request.scope).rate = rate

    def key(self, headers: RawHeaders) -> Key:
        """Return the key of a request.

        Raises:
            Problem: there is none, or it is unknown or has expired.
        """
        header = _header_of(headers)
        if header is None:
            raise Problem(UNAUTHORIZED, MISSING)
        key = self._known.get(header) or self._look_up(header)
        if key.expires_s is not None and key.expires_s <= self._now_s():
            at = datetime.fromtimestamp(key.expires_s, UTC)
            raise Problem(UNAUTHORIZED, f"The key {key.name!r} expired on {at:%Y-%m-%dT%H:%M:%SZ}")
        return key

    def valid_key(self, headers: RawHeaders) -> Key | None:
        """Return the valid key of a request that needs none, None if it has none."""
        try:
            return self.key(headers)
        except Problem:
            return None

    def _admitted(self, scope: Scope, headers: RawHeaders, cost: int, answer: AnswerFields) -> Key:
        key = self.key(headers)
        if scope not in key.scopes:
            raise Problem(FORBIDDEN, missing_scope(scope))
        if key.limit is not None and cost:
            answer.rate = self._quota.take(key.name, key.limit, min(cost, key.limit.amount))
        return key

    def _look_up(self, header: tuple[bytes, bytes]) -> Key:
        text = _text_of(header)
        if not text:
            raise Problem(UNAUTHORIZED, MISSING)
        key = (self._keys or {}).get(digest_of(text))
        if key is None:
            raise Problem(UNAUTHORIZED, _UNKNOWN)
        if len(header[1]) > _MAX_KNOWN_BYTES:
            return key
        if len(self._known) >= _MAX_KNOWN:
            self._known.clear()
        self._known[header] = key
        return key


def missing_scope(scope: Scope) -> str:
    """Return the detail of the problem that a key does not have a scope."""
    return f"The key does not have the scope `{scope}`"


def _header_of(headers: RawHeaders) -> tuple[bytes, bytes] | None:
    """Return the header that has the key: `X-API-Key`, or else `Authorization`."""
    found = None
    for header in headers:
        name, value = header
        if name == b"x-api-key" and value:
            return header
        if name == b"authorization" and found is None:
            found = header
    return found


def _text_of(header: tuple[bytes, bytes]) -> bytes:
    name, value = header
    if name == b"x-api-key":
        return value
    scheme, _, text = value.partition(b" ")
    return text.strip() if scheme.lower() == b"bearer" else b""


def note_key(request: Request, key: Key) -> None:
    """Note the key that admitted a request."""
    request.scope[_IN_SCOPE] = key


def key_of(request: Request) -> Key | None:
    """Return the key that admitted a request, None if none was needed."""
    key: Key | None = request.scope.get(_IN_SCOPE)
    return key


def caller_of(request: Request) -> str:
    """Return the name of the key that admitted a request, `api` if none was needed."""
    key = key_of(request)
    return key.name if key is not None else "api"
