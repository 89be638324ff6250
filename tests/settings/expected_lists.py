"""What the trainer's models say of plain counts and histories, with given settings.

Each model has tests of its own against an independent computation, in `tests/trainer/models`. Here
the question is whether what is served was made of the right counts, with the right settings.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from tests.oracles.histories import DAY_MS, History, counted
from tests.settings.plain_histories import Counts
from tests.settings.trainer_of_few import HELD_OUT_MOST
from trainer.counts.derived import Histories, counts_of
from trainer.models.popular import recent_counts
from trainer.models.ranking import Ranking
from trainer.settings import TrainerSettings

Floats = npt.NDArray[np.float64]
Scores = dict[int, float]
"""By item."""
DECIMALS: Final = 12


def counts_used(
    streamed: Counts, histories: Mapping[str, History], settings: TrainerSettings
) -> Counts:
    """Return the counts that items' lists are made of: the workers', or some users'."""
    counting = settings.counting(settings.item_model)
    if counting.is_streamed:
        return streamed
    listed = 0 if settings.user_model == "none" else settings.active_users
    read = latest(histories, max(listed, HELD_OUT_MOST, settings.counts.users))
    of_some, _ = _read(streamed.items, [histories[user] for user in read])
    made = counts_of(of_some, csr_array(streamed.g), counting)
    return Counts(streamed.items, made.toarray())


def _read(items: Sequence[int], of_users: Sequence[History]) -> tuple[Histories, Floats]:
    """Return histories as the trainer has them, and their affinities as stored."""
    r, stored, ts_ms = np.zeros((3, len(of_users), len(items)))
    for row, history in enumerate(of_users):
        for item, held in counted(history).items():
            place = items.index(item)
            r[row, place], stored[row, place] = held.unscaled, held.affinity
            ts_ms[row, place] = held.ts_ms
    return Histories(csr_array(r), ts_ms[r > 0].astype(np.int64)), stored[r > 0]


def similar(counts: Counts, settings: TrainerSettings) -> dict[int, Scores]:
    """Return the neighbors of each item; some may be below 0."""
    ranker = settings.model(settings.item_model).fit(csr_array(counts.g))
    return dict(
        zip(counts.items, _lists(ranker.rank(np.arange(ranker.n_rows)), counts.items), strict=True)
    )


def popular(counts: Counts, histories: Mapping[str, History], settings: TrainerSettings) -> Scores:
    """Return the popular list, all users having been read."""
    read = _read(counts.items, [*histories.values()])
    days = settings.config("popular").half_life_days
    recent = recent_counts(*read, csr_array(counts.g), days)
    (found,) = _lists(settings.model("popular").fit(recent).rank(np.arange(1)), counts.items)
    return found


def own_lists(histories: Mapping[str, History], settings: TrainerSettings) -> dict[str, Scores]:
    """Return the list of each user who gets one."""
    users = latest(histories, settings.active_users if settings.user_model == "user-knn" else 0)
    items = sorted({item for user in users for item in counted(histories[user])})
    r = np.zeros((len(users), len(items)))
    for row, user in enumerate(users):
        for item, held in counted(histories[user]).items():
            r[row, items.index(item)] = held.affinity
    ranking = settings.model("user-knn").fit(csr_array(r)).rank(np.arange(len(users)))
    lists = dict(zip(users, _lists(ranking, items), strict=True))
    return {
        user: {item: score for item, score in its.items() if item not in histories[user]}
        for user, its in lists.items()
    }


def _lists(ranking: Ranking, items: Sequence[int]) -> list[Scores]:
    entries = list(zip(ranking.columns.tolist(), ranking.scores.tolist(), strict=True))
    return [
        {items[column]: score for column, score in entries[start:stop]}
        for start, stop in zip(ranking.indptr[:-1], ranking.indptr[1:], strict=True)
    ]


def latest(histories: Mapping[str, History], n: int) -> list[str]:
    """Return the n users who were active last."""
    last = {u: max(held.ts_ms for held in history.values()) for u, history in histories.items()}
    return sorted(histories, key=lambda user: (-last[user], user))[:n]


def folded_in(history: History, lists: Mapping[int, Scores], settings: TrainerSettings) -> Scores:
    """Return what a user's history makes of the items' lists."""
    known = [item for item, held in history.items() if held.unscaled]
    some = sorted(known, key=lambda item: (-history[item].ts_ms, item))
    newest_ms = max((held.ts_ms for held in history.values()), default=0)
    weights = {
        item: history[item].unscaled
        * _halved((newest_ms - history[item].ts_ms) / DAY_MS, settings.fold_in_half_life_days)
        * _halved(position, settings.fold_in_half_life_items)
        for position, item in enumerate(some[: settings.fold_in_items])
    }
    scores: Scores = {}
    total = sum(map(abs, weights.values()))
    for item, weight in weights.items():
        for other, score in lists.get(item, {}).items():
            if other not in history:
                scores[other] = scores.get(other, 0) + weight * score / total
    return {item: score for item, score in scores.items() if round(score, DECIMALS) > 0}


def _halved(age: float, half_life: float) -> float:
    return float(2 ** (-age / half_life)) if half_life else 1.0
