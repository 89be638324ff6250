"""Every answer to a read, whole: what the ordinary routes and the hot path both send.

Each method is a read (`api.redis.reading`) of what its parameters say, which were judged before; it
returns a reply, or raises the problem that the client meets.
"""

from collections.abc import Callable, Collection
from typing import Final

from api.answers import Bars, PredictedItems, Recommendations, Similar, encode
from api.bars import Interval, Window, fill_previous, legacy_bars, roll_up
from api.generations import Generation
from api.metrics import Metrics
from api.problems import UNKNOWN_INSTRUMENT, UNKNOWN_USER, Problem
from api.reader import Reader
from api.recommend import Chosen, Wish, history_answer, similar_items
from api.redis.reading import Read
from api.replies import LISTS, NOW, ONCE, OWN, Reply, reply
from api.request_ids import RequestIds
from contracts.generations import SimilarList

LEGACY_MINUTES: Final = 5
LEGACY_ITEMS: Final = 10
REQUEST_ID: Final = b"x-request-id"


class Answering:
    """Answers from one reader, by one clock."""

    def __init__(
        self,
        reader: Reader,
        request_ids: RequestIds,
        metrics: Metrics,
        now_ms: Callable[[], int],
    ) -> None:
        self._reader = reader
        self._request_ids = request_ids
        self._recommendations = metrics.recommendations
        self._now_ms = now_ms

    def bars(
        self, instrument_id: int, limit: int, end_ms: int | None, interval: Interval, *, fill: bool
    ) -> Read[Reply]:
        """Answer with bars of any interval."""
        now_ms = self._now_ms()
        window = Window.before(now_ms if end_ms is None else end_ms, interval, limit)
        minutes = yield from self._reader.bars(instrument_id, window)
        if minutes is None:
            raise no_quotes(instrument_id)
        found = roll_up(minutes, window, now_ms)
        if fill:
            found = fill_previous(found, window, now_ms)
        return reply(encode(Bars(instrument_id, interval, found)), NOW)

    def legacy_bars(self, instrument_id: int) -> Read[Reply]:
        """Answer with the last minutes in the first version's form."""
        now_ms = self._now_ms()
        window = Window.before(now_ms, "1m", LEGACY_MINUTES)
        minutes = yield from self._reader.bars(instrument_id, window)
        if minutes is None:
            raise no_quotes(instrument_id)
        return reply(encode(legacy_bars(instrument_id, minutes)), NOW)

    def similar(self, instrument_id: int, n: int) -> Read[Reply]:
        """Answer with the neighbors of an instrument."""
        generation, neighbors = yield from self._similar(instrument_id, n)
        return reply(
            encode(
                Similar(
                    instrument_id,
                    neighbors.model,
                    generation.variant,
                    generation.name,
                    similar_items(neighbors, n),
                )
            ),
            LISTS,
        )

    def legacy_similar(self, instrument_id: int) -> Read[Reply]:
        """Answer with the neighbors of an instrument in the first version's form."""
        _, neighbors = yield from self._similar(instrument_id, LEGACY_ITEMS)
        items = [str(item.instrument_id) for item in similar_items(neighbors, LEGACY_ITEMS)]
        return reply(encode(PredictedItems(items)), LISTS)

    def recommendations(self, user_id: str, wish: Wish) -> Read[Reply]:
        """Answer with instruments for a user."""
        generation, chosen, request_id = yield from self._recommended(user_id, wish)
        return reply(
            encode(
                Recommendations(
                    user_id,
                    request_id,
                    chosen.source,
                    chosen.model,
                    generation.variant,
                    generation.name,
                    chosen.items,
                )
            ),
            ONCE,
        )

    def legacy_recommendations(self, user_id: str) -> Read[Reply]:
        """Answer with instruments for a user in the first version's form.

        It has no room for the request's id, which stands in a header instead.
        """
        wish = Wish(LEGACY_ITEMS, frozenset(), include_seen=False)
        _, chosen, request_id = yield from self._recommended(user_id, wish)
        items = [str(item.instrument_id) for item in chosen.items]
        status, headers, body = reply(encode(PredictedItems(items)), ONCE)
        return Reply(status, [*headers, (REQUEST_ID, request_id.encode())], body)

    def history(self, user_id: str) -> Read[Reply]:
        """Answer with what is known of a user."""
        items = yield from self._reader.history(user_id)
        if not items:
            raise Problem(UNKNOWN_USER, "The user has no history")
        return reply(encode(history_answer(user_id, items)), OWN)

    def variants(self) -> Read[Collection[str]]:
        """Return the names of the variants that are served."""
        return self._reader.variants()

    def _similar(self, instrument_id: int, n: int) -> Read[tuple[Generation, SimilarList]]:
        found = yield from self._reader.similar(instrument_id, n)
        if found is None:
            detail = f"Instrument {instrument_id} is not in the model: no interactions up to now"
            raise Problem(UNKNOWN_INSTRUMENT, detail)
        return found

    def _recommended(self, user_id: str, wish: Wish) -> Read[tuple[Generation, Chosen, str]]:
        generation, chosen = yield from self._reader.recommendations(user_id, wish)
        self._recommendations.note(chosen.source, generation.variant, chosen.model)
        signer = yield from self._request_ids.signer()
        request_id = signer.new(generation.variant, generation.name, chosen.source, user_id)
        return generation, chosen, request_id


def no_quotes(instrument_id: int) -> Problem:
    """Return the problem of an instrument that no quote was seen of."""
    return Problem(UNKNOWN_INSTRUMENT, f"Instrument {instrument_id} has no quotes")
