"""How well generations' lists predicted what users did since they had them.

The lists are measured as they are in Redis, so an error on the way there shows as well, and used as
by the API: the user's own list, if it was made from all that the user had; then the items' lists,
into which that is folded by what the generation's `FoldIn` says; then the popular list.
"""

from collections.abc import Iterable, Mapping, Sequence
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
from trainer.experiments.behavior import Since
from trainer.generations.decisions import read_report
from trainer.judging.holdout import Holdout
from trainer.judging.metrics import N, judge, ndcg
from trainer.judging.recommending import (
    Recommended,
    continued,
    from_item_lists,
    from_popular,
    from_user_lists,
)
from trainer.reading import ask_each

Scores = Mapping[int, float]
"""item -> score; of a neighbor below 0 where the item speaks against it"""

_List = PopularList | SimilarList | UserList


class Lists(NamedTuple):
    """A generation's lists, and how it wants histories folded into them."""

    neighbors: Mapping[int, Scores] = {}
    """by item"""
    fold_in: FoldIn = FoldIn()
    popular: Mapping[int, float] = {}
    own: Mapping[str, Scores] = {}
    """by user, of those who were shown it"""


class Question(NamedTuple):
    """Users, and what is to be found: what each took since. Pure."""

    users: Sequence[str]
    items: Ints
    """(n_items,) ids, ascending: of all that is in histories and lists"""
    holdout: Holdout
    """of (n_users, n_items)"""

    @classmethod
    def of(cls, users: Mapping[str, Since], *several: Lists) -> "Question":
        """Return the question that some lists are to answer."""
        known = {item for user in users.values() for item in (*user.before, *user.after)}
        for lists in several:
            for scores in (lists.popular, *lists.own.values(), *lists.neighbors.values()):
                known.update(scores)
        items = np.array(sorted(known), np.int64)
        return cls(list(users), items, _holdout_of(list(users.values()), items))

    def ndcg(self, lists: Lists) -> Floats:
        """Return (n_users,) nDCG@10 of what is shown by a generation's lists."""
        neighbors = [lists.neighbors.get(item, {}) for item in self.items.tolist()]
        own = [lists.own.get(user, {}) for user in self.users]
        of_own = from_user_lists(self.holdout, _rows_of(own, self.items), N)
        rows = _rows_of(neighbors, self.items)
        folded = from_item_lists(self.holdout, rows, lists.fold_in, N)
        # A user without an own list has an empty one here, which what is folded in continues.
        return self._found_in(continued(continued(of_own, folded), self._popular(lists)))

    def ndcg_of_popular(self, lists: Lists) -> Floats:
        """Return (n_users,) nDCG@10 of a generation's popular list alone."""
        return self._found_in(self._popular(lists))

    def _popular(self, lists: Lists) -> Recommended:
        return from_popular(self.holdout, _rows_of([lists.popular], self.items), N)

    def _found_in(self, shown: Recommended) -> Floats:
        return ndcg(judge(self.holdout, shown))


def read_lists(
    store: Store, keyspace: Keyspace, served: Served, users: Mapping[str, Since]
) -> Lists:
    """Return what a generation has for some users; what cannot be read is missing.

    An own list is made from a user's history as it was, and not shown after the next event.
    """
    name = served.generation
    report = read_report(store, keyspace, name)
    learned_until_ms = report.data.latest_ms if report else 0
    unchanged = [
        user
        for user, its in users.items()
        if max(had.t for had in its.before.values()) <= learned_until_ms
    ]
    items = sorted({item for its in users.values() for item in its.before})
    similar = [keyspace.model_similar(name, str(item)) for item in items]
    own = [keyspace.model_user(name, user) for user in unchanged]
    (popular,) = _read(store, [keyspace.model_popular(name)], PopularList)
    return Lists(
        {i: of for i, of in zip(items, _read(store, similar, SimilarList), strict=True) if of},
        served.fold_in,
        popular,
        {user: of for user, of in zip(unchanged, _read(store, own, UserList), strict=True) if of},
    )


def _read(store: Store, keys: Sequence[str], kind: type[_List]) -> list[Scores]:
    """Return the scores in the lists at some keys; none where there is no list of that kind."""

    def ask(pipeline: Any, key: str) -> object:
        return pipeline.execute_command("GET", key, **{NEVER_DECODE: True})

    decoder: Final = msgspec.json.Decoder(kind)
    return [_scores(value, decoder) for value in ask_each(store, keys, ask, if_wrong_type=None)]


def _scores(value: bytes | None, decoder: "msgspec.json.Decoder[Any]") -> Scores:
    with suppress(ValueError, OverflowError, msgspec.MsgspecError):
        found = decoder.decode(value or b"")
        ids = np.array([int(entry.item) for entry in found.items], np.int64).tolist()
        return {item: entry.score for item, entry in zip(ids, found.items, strict=True)}
    return {}


def _holdout_of(users: Sequence[Since], items: Ints) -> Holdout:
    """Return what users had, and took since; nobody has to count anything."""
    had = _rows_of(
        [{item: had.affinity for item, had in user.before.items()} for user in users], items
    )
    ts_ms = [had.t for user in users for _, had in sorted(user.before.items())]
    return Holdout(
        Histories(had, np.array(ts_ms, np.int64)),
        stored=had.data,
        streamed=csr_array((len(items), len(items))),
        test=_rows_of([dict.fromkeys(user.after, 1.0) for user in users], items),
    )


def _rows_of(rows: Iterable[Scores], items: Ints) -> Matrix:
    """Return a matrix with a column for each of `items`."""
    of_each = [sorted(row.items()) for row in rows]
    ids = np.array([item for row in of_each for item, _ in row], np.int64)
    data = np.array([value for row in of_each for _, value in row], np.float64)
    lengths = np.array([len(row) for row in of_each], np.int64)
    return csr(data, np.searchsorted(items, ids), lengths, len(items))
