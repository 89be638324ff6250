"""Access control: the key of a request, and whether it has the scope that an endpoint needs.

Both paths to an endpoint go through `Access.admit`. If no keys are set up, everything is open.

A key is looked up by its hash. The time of the lookup depends on that hash only and reveals nothing
about the keys: nobody can control how a hash begins. A header that was seen before is found as it
is, without SHA-256, which saves a hot request most of that time; Python, too, compares strings only
if their hashes, which are salted with a secret of the process, are equal.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from starlette.requests import Request

from api.http.correlation import of_answer
from api.http.endpoint import Endpoint, Scope
from api.http.keys.key import Key, digest_of, key_of
from api.http.problems import FORBIDDEN, UNAUTHORIZED, Problem
from api.http.quotas import ReadQuota

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

Admitted = tuple[dict[str, Any], Key | None, bytes]
"""The parameters of a request, the key that admitted it, if one was needed, and the fields that
report the key's quota, if it has one."""


class Access:
    """Admits requests by their keys."""

    def __init__(
        self, keys: Mapping[bytes, Key] | None, now_s: Callable[[], float] = time.time
    ) -> None:
        """Admit by `keys`, keyed by their digests; None admits everyone to everything."""
        self._keys = keys
        self._now_s = now_s
        self._quota = ReadQuota()
        self._known: dict[tuple[bytes, bytes], Key] = {}
        """Keyed by the header as received."""

    def use(self, keys: Mapping[bytes, Key]) -> None:
        """Replace the keys."""
        self._keys = keys
        self._known = {}

    def admit(
        self, endpoint: Endpoint, of_path: Mapping[str, str], query: str, headers: RawHeaders
    ) -> Admitted:
        """Return the values of a request's parameters, and its key if the endpoint needs one.

        Raises:
            Problem: there is no valid key, or it does not have the scope, or its limit is reached;
                or parameters are invalid.
        """
        if self._keys is None:
            return endpoint.values(of_path, query), None, b""
        scope, needs_scope, key, rate = endpoint.scope, endpoint.needs_scope, None, b""
        if scope is not None and needs_scope is None:
            key, rate = self._admitted(scope, headers, endpoint.cost)
        try:
            values = endpoint.values(of_path, query)
        except Problem as problem:
            problem.rate = rate
            raise
        if scope is not None and needs_scope is not None and needs_scope(**values):
            key, rate = self._admitted(scope, headers, endpoint.cost)
        return values, key, rate

    def spend(self, request: Request, reads: int) -> None:
        """Take so many more reads from the quota of a request's key, if it has one.

        One was taken when the request was admitted.

        Raises:
            Problem: fewer are left.
        """
        key = key_of(request)
        if key is not None and key.limit is not None:
            rate = self._quota.spend(key.name, key.limit, reads, before=1)
            of_answer(request.scope).rate = rate

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

    def _admitted(self, scope: Scope, headers: RawHeaders, cost: int) -> tuple[Key, bytes]:
        key = self.key(headers)
        if scope not in key.scopes:
            raise Problem(FORBIDDEN, missing_scope(scope))
        if key.limit is None or not cost:
            return key, b""
        return key, self._quota.spend(key.name, key.limit, cost)

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
