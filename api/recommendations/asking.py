"""Recommendations requested with a body: for a set of instruments, or for several users."""

import asyncio
from collections.abc import Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from api.http.bodies import check_head, read_body
from api.http.filters import Check
from api.http.parsing import Resolve
from api.http.replies import respond
from api.recommendations.answers import Batch
from api.recommendations.bodies import (
    history_of_items,
    parse_for_items,
    parse_for_users,
)
from api.recommendations.reading import RecommendationReader
from api.redis.store import Store

USERS_AT_ONCE: Final = 4
"""Per batch: folding in a history takes up to some milliseconds, and other requests run in between
a few of them."""


class Asking:
    """Answers such requests of one namespace."""

    def __init__(
        self,
        reader: RecommendationReader,
        store: Store,
        spend: Callable[[Request, int], None],
        resolve: Resolve,
        check: Check,
    ) -> None:
        """Answer by a reader.

        Args:
            reader: makes the answers.
            store: what they are made from.
            spend: takes more reads from the quota of a request's key.
            resolve: finds instruments by their symbols.
            check: checks conditions on attributes.
        """
        self._reader = reader
        self._store = store
        self._spend = spend
        self._resolve = resolve
        self._check = check

    async def for_items(self, request: Request) -> Response:
        """Answer with instruments for those in the body."""
        asked = parse_for_items(await _body_of(request), self._resolve, self._check)
        read = self._reader.for_items(history_of_items(asked.items), self._reader.wish(asked))
        return respond(await self._store.answer(read))

    async def for_users(self, request: Request) -> Response:
        """Answer with instruments for each user in the body, in the same order, a read each."""
        asked = parse_for_users(await _body_of(request), self._resolve, self._check)
        self._spend(request, len(asked.user_ids) - 1)  # the first was counted with the request
        wish = self._reader.wish(asked)
        found = []
        for start in range(0, len(asked.user_ids), USERS_AT_ONCE):
            users = asked.user_ids[start : start + USERS_AT_ONCE]
            reads = (self._reader.for_user(user_id, wish) for user_id in users)
            found += await asyncio.gather(*map(self._store.answer, reads))
        return respond(Batch(found))


async def _body_of(request: Request) -> bytes:
    check_head(request)
    return await read_body(request)
