"""Reads of recommendations: each returns its whole answer."""

from typing import Final

from api.http.metrics import Metrics
from api.http.replies import ONCE, Reply, reply
from api.models.answers import PredictedItems
from api.models.generations import Generation, GenerationReplacedError, Generations
from api.models.request_ids import RequestIds
from api.recommendations.answers import Recommendations
from api.recommendations.choosing import Chosen, Wish
from api.recommendations.recommending import Recommending
from api.redis.reading import Read
from api.redis.store import Store
from contracts.partitioning import user_partition

LEGACY_ITEMS: Final = 10
REQUEST_ID: Final = b"x-request-id"


class RecommendationReader:
    """Recommends to the users of one namespace."""

    def __init__(
        self, store: Store, generations: Generations, request_ids: RequestIds, metrics: Metrics
    ) -> None:
        self._store = store
        self._generations = generations
        self._request_ids = request_ids
        self._recommending = Recommending(store.keys, generations, metrics)
        self._counted = metrics.recommendations

    def recommendations(
        self, user_id: str, n: int, exclude: frozenset[int], *, include_seen: bool
    ) -> Read[Reply]:
        """Answer with instruments for a user."""
        wish = Wish(n, exclude, include_seen)
        generation, chosen, request_id = yield from self._recommended(user_id, wish)
        return reply(
            Recommendations(
                user_id,
                request_id,
                chosen.source,
                chosen.model,
                generation.variant,
                generation.name,
                chosen.items,
            ),
            ONCE,
        )

    def legacy(self, user_id: str) -> Read[Reply]:
        """Answer with instruments for a user in the first version's form.

        It has no room for the request's id, which stands in a header instead.
        """
        wish = Wish(LEGACY_ITEMS, frozenset(), include_seen=False)
        _, chosen, request_id = yield from self._recommended(user_id, wish)
        items = [str(item.instrument_id) for item in chosen.items]
        status, headers, body = reply(PredictedItems(items), ONCE)
        return Reply(status, [*headers, (REQUEST_ID, request_id.encode())], body)

    def chosen(self, user_id: str, wish: Wish) -> Read[tuple[Generation, Chosen]]:
        """Return what is recommended to a user, and the generation.

        Raises:
            NoModelYetError, GenerationReplacedError: no list can be read.
        """
        topology = yield from self._store.topology()
        partition = user_partition(user_id, topology.interactions)
        key = self._store.keys.history(partition, user_id)

        def read(generation: Generation) -> Read[tuple[Generation, Chosen] | None]:
            chosen = yield from self._recommending.choose(generation, user_id, key, wish)
            return None if chosen is None else (generation, chosen)

        found = yield from self._generations.within_one(user_id, read)
        if found is None:
            raise GenerationReplacedError
        return found

    def _recommended(self, user_id: str, wish: Wish) -> Read[tuple[Generation, Chosen, str]]:
        generation, chosen = yield from self.chosen(user_id, wish)
        self._counted.note(chosen.source, generation.variant, chosen.model)
        signer = yield from self._request_ids.signer()
        request_id = signer.new(generation.variant, generation.name, chosen.source, user_id)
        return generation, chosen, request_id
