"""Writes with an `Idempotency-Key` take effect at most once: a retry gets the first answer.

Follows draft-ietf-httpapi-idempotency-key-header. A key belongs to one API key, and is kept in
Redis for a day. Requests without one do not get here.

A request claims its key, publishes, and then keeps its answer under the key. If nothing was
published, the key is free again, once Redis answers. Otherwise a claim without an answer means that
the outcome is unknown, since a process may end between Kafka's acknowledgement and the answer. Such
a key is never free again within its day: publishing a second time could count the events twice, and
only the client can know whether that is worse than losing them.
"""

import asyncio
import contextlib
import hashlib
import logging
import re
import secrets
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.http.bodies import media_type_of
from api.http.failures import problem_of
from api.http.keys.access import caller_of
from api.http.problems import (
    IDEMPOTENCY_KEY_REUSED,
    OUTCOME_UNKNOWN,
    REQUEST_IN_PROGRESS,
    Failure,
    Problem,
    broken_rule,
)
from api.http.reply import JSON, ONCE
from api.redis.reading import Read
from api.redis.store import Store, StoreUnavailableError
from contracts.keyspace import IDEMPOTENCY_KEPT_S

HEADER: Final = "Idempotency-Key"
REPLAYED: Final = "Idempotent-Replayed"
MAX_KEY_CHARACTERS: Final = 255
IN_PROGRESS_S: Final = 10
"""Longer than any write takes, once its body has arrived."""
_TRIED_EVERY_S: Final = 1.0
_TRIES: Final = 3600
"""Of a change that Redis did not answer."""

_KEY: Final = re.compile(rf'"?([!#-~]{{1,{MAX_KEY_CHARACTERS}}})"?', re.ASCII)
"""The draft has it quoted; many clients send it without quotes."""
_RULE: Final = (
    f"must be 1 to {MAX_KEY_CHARACTERS} printable ASCII characters without spaces or quotes"
)

Act = Callable[[], Awaitable[Response]]

_log = logging.getLogger(__name__)


class KeyState(msgspec.Struct, frozen=True, omit_defaults=True):
    """The value of a key in Redis: a claim until there is an answer."""

    request: str
    """digest of the request that claimed the key"""
    claim: str = ""
    """random, while there is no answer"""
    status: int = 0
    """of the answer"""
    body: str = ""
    unknown: str = ""
    """why the outcome is unknown, if the request ended so"""


_decoder = msgspec.json.Decoder(KeyState)


class Once:
    """Answers writes of one namespace at most once per key."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._settling: set[asyncio.Task[None]] = set()

    async def answer(self, request: Request, body: bytes, act: Act) -> Response:
        """Return the answer of `act`, or the first answer to the same request with the same key.

        Raises:
            Problem: the key is invalid, was used for another request, or its request is in progress
                or has an unknown outcome.
            StoreUnavailableError: Redis does not answer; nothing was done.
        """
        digest = key_digest(request)
        if digest is None:
            return await act()
        name = self._store.keys.idempotency(digest)
        claim = KeyState(_digest_of(request, body), secrets.token_hex(8))
        found = await self._store.answer(_claimed(name, claim))
        if found is not None:
            return _replayed(*found, claim)
        try:
            await self._store.answer(_confirmed(name))
        except StoreUnavailableError:
            await self._settle(partial(_freed, name, claim))
            raise
        return await self._act(name, claim, act)

    async def _act(self, name: str, claim: KeyState, act: Act) -> Response:
        try:
            answer = await act()
        except Exception as error:
            if isinstance(error, Failure) and error.may_have_taken_effect:
                unknown = KeyState(claim.request, unknown=str(error))
                await self._settle(partial(_replaced, name, unknown))
            elif problem_of(error) is not None:
                await self._settle(partial(_freed, name, claim))
            raise  # of a bug nothing is known, so the claim stays
        kept = KeyState(claim.request, status=answer.status_code, body=bytes(answer.body).decode())
        await self._settle(partial(_replaced, name, kept))
        return answer

    async def _settle(self, change: Callable[[], Read[None]]) -> None:
        """Change a key; if Redis does not answer, in the background once it does."""
        try:
            await self._store.answer(change())
        except StoreUnavailableError as error:
            _log.warning("an idempotency key is not changed yet: Redis: %s", error)
            task = asyncio.create_task(self._settle_later(change))
            self._settling.add(task)
            task.add_done_callback(self._settling.discard)

    async def _settle_later(self, change: Callable[[], Read[None]]) -> None:
        for _ in range(_TRIES):
            await asyncio.sleep(_TRIED_EVERY_S)
            with contextlib.suppress(StoreUnavailableError):
                await self._store.answer(change())
                return


def _replaced(name: str, kept: KeyState) -> Read[None]:
    """Keep an outcome under a key that is claimed."""
    yield [("SET", name, msgspec.json.encode(kept), "XX", "EX", IDEMPOTENCY_KEPT_S)]


def _freed(name: str, claim: KeyState) -> Read[None]:
    """Free a key for which nothing was published."""
    found, left_ms = yield [("GET", name), ("PTTL", name)]
    if found == msgspec.json.encode(claim):
        if left_ms <= IN_PROGRESS_S * 1000:  # it ends by itself, or what confirms it is still due
            raise StoreUnavailableError("the claim may still be confirmed")
        yield [("UNLINK", name)]


def _confirmed(name: str) -> Read[None]:
    """Keep a claim for the whole time; StoreUnavailableError if it has ended."""
    (found,) = yield [("EXPIRE", name, IDEMPOTENCY_KEPT_S)]
    if not found:
        raise StoreUnavailableError("the claim of the idempotency key expired")


def _claimed(name: str, claim: KeyState) -> Read[tuple[KeyState, int] | None]:
    """Claim a key for a short time, or return what it has and how long it is still kept, in ms.

    A claim begins short and is confirmed: if Redis answers too late, nothing is published, and the
    key is soon free.
    """
    value = msgspec.json.encode(claim)
    found, left_ms = yield [
        ("SET", name, value, "NX", "GET", "EX", IN_PROGRESS_S),
        ("PTTL", name),
    ]
    return None if found is None else (_decoder.decode(found), left_ms)


def _replayed(kept: KeyState, left_ms: int, claim: KeyState) -> Response:
    """Return the kept answer; Problem if there is none, or the request is another one."""
    if kept.request != claim.request:
        raise Problem(
            IDEMPOTENCY_KEY_REUSED,
            "The key was used for a request with another method, path, query, type or body: "
            "send each request with a key of its own",
        )
    if kept.status:
        headers = {"Cache-Control": ONCE.decode(), REPLAYED: "true"}
        return Response(kept.body, kept.status, headers, JSON.decode())
    age_ms = IDEMPOTENCY_KEPT_S * 1000 - left_ms
    is_unconfirmed = left_ms <= IN_PROGRESS_S * 1000
    if not kept.unknown and (is_unconfirmed or age_ms < IN_PROGRESS_S * 1000):
        raise Problem(REQUEST_IN_PROGRESS, "The first request with this key is not answered yet")
    reason = kept.unknown or "it was interrupted"
    raise Problem(
        OUTCOME_UNKNOWN,
        f"Of the first request with this key, some or all may be in the log: {reason}. The key "
        f"publishes nothing for another {left_ms // 1000} s; with a new key everything is "
        "published again, and may count twice",
    )


def key_digest(request: Request) -> str | None:
    """Return the digest of a request's key and API key, None if it has no key.

    Raises:
        Problem: the key is invalid.
    """
    given = request.headers.getlist(HEADER)
    if not given:
        return None
    found = _KEY.fullmatch(given[0])
    if found is None or len(given) > 1:
        raise broken_rule(HEADER, f"{_RULE}, not {', '.join(given)!r:.100}")
    return _digest(caller_of(request).encode(), found[1].encode())


def _digest_of(request: Request, body: bytes) -> str:
    scope, media_type = request.scope, media_type_of(request).encode()
    target = scope["raw_path"], scope["query_string"]
    return _digest(request.method.encode(), *target, media_type, body)


def _digest(*parts: bytes) -> str:
    """Return a digest of parts that have no NUL, except perhaps the last."""
    return hashlib.blake2b(b"\0".join(parts), digest_size=16).hexdigest()
