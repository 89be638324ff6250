"""Runs a read round by round, so that a test can change what is served in between.

And filters items, for tests that have no catalog.
"""

import itertools
from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from redis import Redis

from api.generations.pointer import Generation, Generations
from api.generations.request_ids import RequestIds
from api.http.metrics import Metrics
from api.instruments.catalog import Catalog
from api.instruments.popular import PopularItems
from api.instruments.reading import SimilarReader, first_neighbors
from api.recommendations.reading import RecommendationReader
from api.redis.reading import Read
from api.redis.store import Store
from contracts.generations import SimilarList
from contracts.messages import Ints

from .conftest import Filled

T = TypeVar("T")


class AllBut:
    """Shows all items but some."""

    def __init__(self, hidden: Collection[int]) -> None:
        self._hidden = hidden

    def __call__(self, item: int) -> bool:
        return item not in self._hidden

    def listed(self) -> Ints:
        return np.empty(0, np.int64)

    def of(self, items: Ints) -> npt.NDArray[np.bool_]:
        return np.array([self(item) for item in items.tolist()], np.bool_)


class Reader:
    """The reads of lists, as the application puts them together."""

    def __init__(
        self,
        url: str,
        filled: Filled,
        raw: Redis,
        now_s: Callable[[], float] | None = None,
    ) -> None:
        """Read by a clock: without one, a second is over whenever it is looked at.

        So the pointer is never kept, unless a test has its own clock.
        """
        self._filled, self._raw = filled, raw
        self.metrics = Metrics()
        store = Store(url, filled.keys.namespace, self.metrics.store_errors)
        generations = Generations(store.keys, now_s or itertools.count(0.0).__next__)
        catalog = Catalog()
        self.variants = generations.variants
        popular = PopularItems(store.keys, generations)
        request_ids = RequestIds(store.keys)
        self._similar = SimilarReader(store, generations, popular, catalog, request_ids)
        recommended = RecommendationReader(
            store, generations, popular, request_ids, self.metrics, catalog
        )
        self.recommendations, self.for_items = recommended.chosen, recommended.for_items
        self.for_user = recommended.for_user

    def similar(self, instrument_id: int, n: int) -> Read[tuple[Generation, SimilarList]]:
        """Return at least the first `n` neighbors of an instrument; Problem if it has no list."""

        def read(generation: Generation) -> Read[tuple[Generation, SimilarList] | None]:
            (value,) = yield [self._similar._command(generation, instrument_id)]
            return None if value is None else (generation, first_neighbors(value, n))

        return self._similar._within_one(instrument_id, read)

    def run(self, read: Read[T], flips: Sequence[str] = (), rounds: list[int] | None = None) -> T:
        """Run one of the reads, see `run`."""
        return run(read, self._raw, self._filled, flips, rounds)


def run(
    read: Read[T],
    raw: Redis,
    filled: Filled,
    flips: Sequence[str] = (),
    rounds: list[int] | None = None,
) -> T:
    """Run a read, and flip the pointer after each of its first rounds that looks at it.

    The number of commands of each round is added to `rounds`.
    """
    left = list(flips)
    pointer = filled.keys.model_current()
    answers: list[Any] | None = None
    while True:
        try:
            commands = read.send(answers)  # type: ignore[arg-type]
        except StopIteration as returned:
            found: T = returned.value
            return found
        if rounds is not None:
            rounds.append(len(commands))
        pipeline = raw.pipeline(transaction=False)
        for command in commands:
            # Its parsed answers differ from those that a connection delivers.
            pipeline.execute_command(*command, NEVER_DECODE=True)
        answers = [flat(answer) for answer in pipeline.execute()]
        if left and any(command[1] == pointer for command in commands):
            filled.point_to(left.pop(0))


def flat(answer: object) -> object:
    """Return an answer as it comes: redis-py makes a dict of a hash."""
    if not isinstance(answer, dict):
        return answer
    return [part for field in answer.items() for part in field]
