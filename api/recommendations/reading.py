"""Reads of recommendations, for a user or by a body: each returns its complete answer."""

from __future__ import annotations  # else annotations of inner functions are evaluated at each call

import asyncio
from collections.abc import Callable
from typing import Any, Final

from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from api.generations.pointer import Generation, GenerationReplacedError, Generations
from api.generations.request_ids import RequestIds
from api.http.bodies import check_head, read_body
from api.http.filters import ALL, Check, Filter
from api.http.metrics import Metrics
from api.http.parsing import Resolve
from api.http.reply import ONCE, Reply, reply, respond
from api.instruments.answers import PredictedItems
from api.instruments.catalog import Catalog
from api.instruments.popular import PopularItems
from api.recommendations.answers import Batch, ItemRecommendations, ItemSource, Recommendations
from api.recommendations.bodies import (
    ListRequest,
    history_of_items,
    parse_for_items,
    parse_for_users,
)
from api.recommendations.choosing import REPEATS_MOST, Chosen, Wish
from api.recommendations.recommender import Recommender
from api.redis.reading import Read
from api.redis.store import Store
from api.users.history import Histories
from contracts.partitioning import user_partition

LEGACY_ITEMS: Final = 10


class RecommendationReader:
    """Recommends to the users of one namespace."""

    def __init__(
        self,
        store: Store,
        generations: Generations,
        popular: PopularItems,
        request_ids: RequestIds,
        metrics: Metrics,
        catalog: Catalog,
    ) -> None:
        self._store = store
        self._generations = generations
        self._request_ids = request_ids
        self._recommender = Recommender(store.keys, generations, popular, catalog, metrics)
        self._counted = metrics.recommendations
        self._catalog = catalog

    def wish(self, asked: ListRequest) -> Wish:
        """Return what a client requested, by the current catalog."""
        wanted, boosts = ALL, None
        if asked.category or asked.exclude_category or asked.filter:
            wanted = Filter(
                frozenset(asked.category),
                frozenset(asked.exclude_category),
                frozenset(asked.filter),
            )
        if asked.boost:
            boosts = self._catalog.boosts(frozenset(asked.boost))
        return Wish(
            asked.n,
            frozenset(map(int, asked.exclude)),
            REPEATS_MOST[asked.repeats],
            wanted is not ALL,
            self._catalog.version,
            self._catalog.shown(wanted),
            boosts,
            asked.diversity,
            asked.names,
            offset=asked.offset,
        )

    def recommendations(self, user_id: str, **asked: Any) -> Read[Reply]:
        """Answer with instruments for a user; `asked` are the fields of a `ListRequest`."""
        recommended = yield from self._recommended(user_id, self.wish(ListRequest(**asked)))
        answer = _answer(user_id, *recommended)
        if (encoded := recommended[1].encoded) is not None:
            answer = replace(answer, items=encoded)
        return reply(answer, ONCE)

    def for_user(self, user_id: str, wish: Wish) -> Read[Recommendations]:
        """Return instruments for a user."""
        return _answer(user_id, *(yield from self._recommended(user_id, wish)))

    def for_items(self, items: Histories, wish: Wish) -> Read[ItemRecommendations]:
        """Return instruments for a set of items, from the default generation.

        Raises:
            NoModelYetError, GenerationReplacedError: no list can be read.
        """
        generation, chosen = yield from self._within_one(
            None, lambda one: self._recommender.choose_for_items(one, items, wish)
        )
        source: ItemSource = "popular" if chosen.source == "popular" else "items"
        self._counted.note(source, generation.variant, chosen.model)
        signer = yield from self._request_ids.signer()
        ids = [item.instrument_id for item in chosen.items]
        request_id = signer.for_items(generation.variant, generation.name, ids)
        return ItemRecommendations(
            request_id, source, chosen.model, generation.variant, generation.name, chosen.items
        )

    def legacy(self, user_id: str) -> Read[Reply]:
        """Answer with instruments for a user in the first version's form.

        This form has no field for the request id, which is sent in a header instead.
        """
        wish = self.wish(ListRequest(n=LEGACY_ITEMS, repeats="none"))
        _, chosen, request_id = yield from self._recommended(user_id, wish)
        items = [str(item.instrument_id) for item in chosen.items]
        found = reply(PredictedItems(items), ONCE)
        return Reply(found.status, found.fields, found.body, request_id.encode())

    def chosen(self, user_id: str, wish: Wish) -> Read[tuple[Generation, Chosen]]:
        """Return the recommendations for a user, and their generation.

        Raises:
            NoModelYetError, GenerationReplacedError: no list can be read.
        """
        topology = yield from self._store.topology()
        partition = user_partition(user_id, topology.interactions)
        key = self._store.keys.history(partition, user_id)
        return (
            yield from self._within_one(
                user_id, lambda one: self._recommender.choose(one, user_id, key, wish)
            )
        )

    def _within_one(
        self, user_id: str | None, choose: Callable[[Generation], Read[Chosen | None]]
    ) -> Read[tuple[Generation, Chosen]]:
        """Return what is chosen in one generation; GenerationReplacedError if there is none."""

        def read(generation: Generation) -> Read[tuple[Generation, Chosen] | None]:
            chosen = yield from choose(generation)
            return None if chosen is None else (generation, chosen)

        found = yield from self._generations.within_one(user_id, read)
        if found is None:
            raise GenerationReplacedError
        return found

    def _recommended(self, user_id: str, wish: Wish) -> Read[tuple[Generation, Chosen, str]]:
        generation, chosen = yield from self.chosen(user_id, wish)
        self._counted.note(chosen.source, generation.variant, chosen.model)
        signer = yield from self._request_ids.signer()
        items = [item.instrument_id for item in chosen.items]
        request_id = signer.new(generation.variant, generation.name, chosen.source, user_id, items)
        return generation, chosen, request_id


def _answer(
    user_id: str, generation: Generation, chosen: Chosen, request_id: str
) -> Recommendations:
    return Recommendations(
        user_id,
        request_id,
        chosen.source,
        chosen.model,
        generation.variant,
        generation.name,
        chosen.items,
    )


USERS_AT_ONCE: Final = 4
"""Per batch: folding in a history takes up to some milliseconds, and other requests run in between
a few of them."""


class BodyRequests:
    """Recommends by the bodies of requests: for a set of instruments, or for several users."""

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
