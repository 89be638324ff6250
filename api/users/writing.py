"""Erases a user: publishes a record that removes the history, and deletes lists.

The log decides (`docs/adr/0010`): once Kafka has the record, the workers remove the history and the
user's part of all counts, and a replay from the beginning of the log has the same result. Own lists
are deleted at once. A training run that read the history before may still write a list; it is never
served, as its `off` is that of a deleted history: offsets only grow, so a user who comes back has a
different one. It expires with its generation. An API process checks cached answers against the
history's `off` in the same way before it serves them.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from api.generations.pointer import SEEN_BY_ALL_S
from api.http.problems import broken_rule
from api.http.reply import respond
from api.redis.reading import Command, Read
from api.redis.store import Store
from api.users.answers import Erasing
from contracts.generations import decode_current
from contracts.pointer import named
from contracts.tombstones import Tombstone

Publish = Callable[[Sequence[Tombstone]], Awaitable[None]]
"""Returns once Kafka has acknowledged them."""

_SLASHES: Final = 3
"""In `/v1/users/{user_id}`."""


class Erasure:
    """Erases the users of one namespace."""

    def __init__(self, store: Store, publish: Publish) -> None:
        self._store = store
        self._keys = store.keys
        self._publish = publish

    async def erase(self, request: Request, user_id: str) -> Response:
        """Answer 202 once the erasure is in the log, and lists are deleted.

        Repeating the request does no harm, whatever the first result was.

        Raises:
            Problem: the id has unencoded slashes. `/v1/users/ABC/history` would erase a user that
                nobody meant.
        """
        if request.scope["raw_path"].count(b"/") > _SLASHES:
            raise broken_rule("user_id", "slashes must be encoded as %2F")
        await self._publish([Tombstone(user_id, erased_at_ms=time.time_ns() // 1_000_000)])
        await self._store.answer(self._end_lists(user_id))
        # A generation that was just replaced still has its lists, until no process reads it.
        await asyncio.sleep(SEEN_BY_ALL_S)
        return respond(Erasing(user_id), 202)

    def _end_lists(self, user_id: str) -> Read[None]:
        (pointer,) = yield [("GET", self._keys.model_current())]
        current = decode_current(pointer)
        if current is None:
            return
        commands: list[Command] = []
        # All keys of the named generations are written already: none comes back.
        for generation in sorted(named(current)):
            key = self._keys.model_user(generation, user_id)
            commands.append(("UNLINK", key))
            commands.append(("SREM", self._keys.model_keys(generation), key))
        if commands:
            yield commands
