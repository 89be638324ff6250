"""nDCG@10 of what each user's variant served when a period began, on what they newly took in it.

Histories record since when a user has an item, so they tell what a user had at the start and what
is new since; of an item touched before and again since, the first event counts. So this needs no
feedback, keeps nothing of anyone, and an erased user is not counted. The lists are used as the API
does, and measured as they are in Redis, so an error on the way there shows as well.

Source: Dawid, "Present position and potential developments: some personal views: statistical
theory: the prequential approach", JRSS A 147(2), 1984; for recommenders Vinagre, Jorge and Gama,
"Evaluation of recommender systems in streaming environments", 2014.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from redis.client import NEVER_DECODE
from scipy.sparse import csr_array

from contracts.fold_in import FoldIn
from contracts.generations import PopularList, Served, SimilarList, UserList
from contracts.keyspace import Keyspace
from contracts.messages import Floats, Ints
from runtime.redis.stores import Store
from trainer.counts.derived import Histories
from trainer.counts.matrices import Matrix, csr
from trainer.generations.decisions import read_report
from trainer.judging.holdout import Holdout, as_of, drawn, known_ms
from trainer.judging.lists import Made, N, from_popular, judge, served_lists
from trainer.judging.measures import ndcg
from trainer.quality.reporting import report_corrupt
from trainer.reading import ParsedHistories, Quarantine, ask_each, by_time, read_histories
from trainer.stages import Stages

USERS_MOST: Final = 2_000
"""Of each variant."""
ACTIVE_MOST: Final = 20_000
"""Of each partition, these many users are drawn from, latest active first."""
_USERS_AT_ONCE: Final = 200
"""Their items' lists are in memory together."""

Row = tuple[Ints, Floats]
"""Item ids, and their scores."""
_NOTHING: Final[Row] = (np.empty(0, np.int64), np.empty(0))
VariantOf = Callable[[str], str | None]
"""The variant of a user; None if there is none that is compared."""


class Period(NamedTuple):
    """What is compared."""

    name: str
    """of the experiment, or the canary's generation: decides which users are drawn"""
    since_ms: int
    started: Mapping[str, Served]
    """variant -> what it served when the period began"""
    variant_of: VariantOf


class Lists(NamedTuple):
    """Some of a generation's lists."""

    neighbors: Mapping[int, Row]
    """by item"""
    own: Mapping[int, Row]
    """by the place of a user"""
    popular: Row
    fold_in: FoldIn = FoldIn()


def read_ndcg(
    store: Store, keyspace: Keyspace, partitions: int, period: Period, stages: Stages
) -> dict[str, Floats]:
    """Return (n_users,) nDCG@10 by variant, of those who had something before and have more since.

    A history that is not as the workers write it is left out, as in training, and counted.

    Raises:
        CorruptValueError: a key that should hold the active users holds something else.
    """
    active: dict[str, list[tuple[str, str]]] = {variant: [] for variant in period.started}
    for _, user, partition in by_time(store, keyspace, partitions, ACTIVE_MOST, period.since_ms):
        if (variant := period.variant_of(user)) in active:
            active[variant].append((user, keyspace.history(partition, user)))
    found, quarantine = {}, Quarantine()
    for variant, served in period.started.items():
        users = [user for user, _ in active[variant]]
        order = drawn(users, period.name).tolist()
        asked = _Asked(store, keyspace, served, period.since_ms)
        figures: list[float] = []
        for start in range(0, len(order), _USERS_AT_ONCE):
            some = [active[variant][place] for place in order[start : start + _USERS_AT_ONCE]]
            keys = [key for _, key in some]
            title = f"compare {variant}"
            for histories in read_histories(
                store, len(keys), keys.__getitem__, quarantine, stages, title
            ):
                names = [some[row][0] for row in histories.offsets]
                figures += asked.ndcg(histories, names).tolist()
            if len(figures) >= USERS_MOST:
                break
        found[variant] = np.array(figures[:USERS_MOST])
    if quarantine.n:
        report_corrupt(quarantine.shown, quarantine.n)
    return found


def ndcg_of(histories: ParsedHistories, since_ms: int, lists: Lists) -> Floats:
    """Return (m,) nDCG@10 of what the m users with anything before and after were served. Pure."""
    rows = [lists.popular, *lists.own.values(), *lists.neighbors.values()]
    items = np.unique(np.concatenate([histories.items, *(ids for ids, _ in rows)]))
    holdout, n = _holdout(histories, since_ms, items), len(items)
    places = np.searchsorted(items, np.array([*lists.neighbors], np.int64))
    neighbors = _matrix(lists.neighbors.values(), places, items, n)
    popular = _matrix([lists.popular], np.zeros(1, np.int64), items, 1)
    of_users = np.array([*lists.own], np.int64)
    own = _matrix(lists.own.values(), of_users, items, len(histories.lengths))
    first = from_popular(holdout, popular, N)
    made = Made(first, own, neighbors, lists.fold_in)
    return ndcg(judge(holdout, served_lists(holdout, N, made)))


def _holdout(histories: ParsedHistories, since_ms: int, items: Ints) -> Holdout:
    """Return what users had, and took since; nobody has to count anything."""
    columns = np.searchsorted(items, histories.items)
    affinities = csr(histories.unscaled, columns, histories.lengths, len(items))
    every = Histories(affinities, histories.ts_ms, histories.first_ms)
    is_before = every.since_ms <= since_ms
    had = as_of(every, since_ms).where(is_before)
    found = every.where(~is_before & (had.degrees > 0)[every.users_of_entries()]).affinities
    found.data[:] = 1
    nobody_counts, again = csr_array((len(items), len(items))), csr_array(found.shape)
    return Holdout(had, had.affinities.data, nobody_counts, found, again)


def _matrix(rows: Collection[Row], places: Ints, items: Ints, n_rows: int) -> Matrix:
    """Return (n_rows, n_items) with each row at its place."""
    row = np.repeat(places, [len(ids) for ids, _ in rows])
    ids = np.concatenate([_NOTHING[0], *(ids for ids, _ in rows)])
    scores = np.concatenate([_NOTHING[1], *(scores for _, scores in rows)])
    made: Matrix = csr_array((scores, (row, np.searchsorted(items, ids))), (n_rows, len(items)))
    return made


class _Asked:
    """A generation, whose lists are read."""

    def __init__(self, store: Store, keyspace: Keyspace, served: Served, since_ms: int) -> None:
        self._store, self._keyspace = store, keyspace
        self._served, self._since_ms = served, since_ms
        report = read_report(store, keyspace, served.generation)
        self._learned_until_ms = report.data.latest_ms if report else 0
        (self._popular,) = self._read([keyspace.model_popular(served.generation)], PopularList)

    def ndcg(self, histories: ParsedHistories, users: Sequence[str]) -> Floats:
        """Return the nDCG of users by what they were served; a list that is unreadable is missing.

        Args:
            histories: theirs.
            users: (n_users,) their ids.
        """
        name, since_ms = self._served.generation, self._since_ms
        is_before = histories.first_ms <= since_ms
        items = np.unique(histories.items[is_before]).tolist()
        similar = [self._keyspace.model_similar(name, str(item)) for item in items]
        # An own list is made from a user's history as it was, and not shown after the next event.
        latest_ms = np.zeros(len(users), np.int64)
        user = np.repeat(np.arange(len(users)), histories.lengths)
        known = known_ms(histories.ts_ms, histories.first_ms, since_ms)
        np.maximum.at(latest_ms, user[is_before], known[is_before])
        same = np.flatnonzero(latest_ms <= self._learned_until_ms).tolist()
        own = [self._keyspace.model_user(name, users[place]) for place in same]
        lists = Lists(
            dict(zip(items, self._read(similar, SimilarList), strict=True)),
            dict(zip(same, self._read(own, UserList), strict=True)),
            self._popular,
            self._served.fold_in,
        )
        return ndcg_of(histories, since_ms, lists)

    def _read(self, keys: Sequence[str], kind: type[Any]) -> list[Row]:
        """Return what the lists at some keys recommend."""
        decoder = msgspec.json.Decoder(kind)

        def ask(pipeline: Any, key: str) -> object:
            return pipeline.execute_command("GET", key, **{NEVER_DECODE: True})

        def row(value: bytes | None) -> Row:
            with suppress(ValueError, OverflowError, msgspec.MsgspecError):
                entries = decoder.decode(value or b"").items
                ids = np.array([int(entry.item) for entry in entries], np.int64)
                return ids, np.array([entry.score for entry in entries], np.float64)
            return _NOTHING

        return [row(value) for value in ask_each(self._store, keys, ask, if_wrong_type=None)]
