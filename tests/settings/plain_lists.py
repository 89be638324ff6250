"""What each model says of counts and histories, each formula written out, with dense matrices."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from tests.settings.plain_histories import Counts, History
from trainer.settings import TrainerSettings

Floats = npt.NDArray[np.float64]
Scores = dict[int, float]
"""By item: only those above 0 are in a list."""

FOLDED_IN_ITEMS: Final = 50
DECIMALS: Final = 12


def similar(counts: Counts, settings: TrainerSettings) -> dict[int, Scores]:
    """Return the neighbors of each item, cut to the length of a list."""
    models = {"cosine": _cosine, "ease": _ease, "rp3beta": _rp3beta}
    scores = np.round(models[settings.item_model](counts.g, settings), DECIMALS)
    np.fill_diagonal(scores, 0)
    scores[counts.g <= 0] = 0
    return {
        item: _best(dict(zip(counts.items, row.tolist(), strict=True)), settings.neighbors_per_item)
        for item, row in zip(counts.items, scores, strict=True)
    }


def _best(scores: Scores, n: int) -> Scores:
    """Return the n best; which of equal ones at the end is for who compares to allow."""
    ranked = sorted(scores.items(), key=lambda entry: (-entry[1], entry[0]))
    return {item: score for item, score in ranked[:n] if score > 0}


def _power(base: Floats, exponent: float) -> Floats:
    return np.power(base, exponent, out=np.zeros_like(base), where=base > 0)


def _cosine(g: Floats, settings: TrainerSettings) -> Floats:
    own, beta = g.diagonal(), settings.cosine_popularity_damping
    scale = np.outer(_power(own, 1 - beta), _power(own, beta)) + settings.cosine_shrinkage
    scores = np.divide(g, scale, out=np.zeros_like(g), where=scale > 0)
    scores[:, np.argsort(-own, kind="stable")[: settings.cosine_popular_removed]] = 0
    return scores


def _ease(g: Floats, settings: TrainerSettings) -> Floats:
    own = g.diagonal()
    unit = own.max()
    ridge = settings.ease_regularization * own[own > 0].mean() / unit
    plain = _cosine(g, TrainerSettings(item_model="cosine"))
    np.fill_diagonal(plain, 0)
    scores = np.zeros_like(g)
    for i in range(len(g)):
        near = np.lexsort((-g[i], -np.round(plain[i], DECIMALS)))[: settings.ease_neighborhood]
        around = np.array([i, *sorted(j for j in near if round(plain[i, j], DECIMALS) > 0)])
        p = np.linalg.inv(g[np.ix_(around, around)] / unit + ridge * np.eye(len(around)))
        scores[i, around[1:]] = -p[0, 1:] / p.diagonal()[1:]
    return scores


def _rp3beta(g: Floats, settings: TrainerSettings) -> Floats:
    own = g.diagonal()
    ends = np.divide(own.max(), own, out=np.zeros_like(own), where=own > 0)
    starts = _power(ends, settings.rp3beta_alpha) / own.max()
    return np.outer(starts, _power(ends, settings.rp3beta_beta)) * g


def popular(counts: Counts, settings: TrainerSettings) -> Scores:
    """Return the popular list."""
    own = dict(zip(counts.items, counts.g.diagonal().tolist(), strict=True))
    return _best(own, settings.popular_items)


def own_lists(histories: Mapping[str, History], settings: TrainerSettings) -> dict[str, Scores]:
    """Return the list of each of the active users."""
    latest = {u: max(held.ts_ms for held in history.values()) for u, history in histories.items()}
    active = sorted(histories, key=lambda user: (-latest[user], user))[: settings.active_users]
    items = sorted({item for user in active for item in histories[user]})
    x = np.array([[_affinity(histories[user], item) for item in items] for user in active])
    if settings.user_metric == "unit-length" and len(active):
        x = x / np.linalg.norm(x, axis=1, keepdims=True)
    return {
        user: _best(
            dict(zip(items, _of_neighbors(x, row, settings).tolist(), strict=True)),
            settings.recommendations_per_user,
        )
        for row, user in enumerate(active)
    }


def _of_neighbors(x: Floats, row: int, settings: TrainerSettings) -> Floats:
    """Return the score of each item for the user of a row, 0 for what the user has."""
    distances = np.linalg.norm(x - x[row], axis=1)
    distances[row] = np.inf
    nearest = np.argsort(distances, kind="stable")[: min(settings.user_neighbors, len(x) - 1)]
    d = distances[nearest]
    weights = 1 / (1 + d) if settings.user_metric == "raw" else np.round(1 - d**2 / 2, DECIMALS)
    total = weights.sum()
    scores: Floats = weights @ x[nearest] / total if total > 0 else np.zeros(x.shape[1])
    return np.where(x[row] > 0, 0, np.round(scores, DECIMALS))


def _affinity(history: History, item: int) -> float:
    return history[item].affinity if item in history else 0.0


def folded_in(history: History, lists: Mapping[int, Scores]) -> Scores:
    """Return what a user's history makes of the items' lists."""
    latest = sorted(history, key=lambda item: (-history[item].ts_ms, item))[:FOLDED_IN_ITEMS]
    total = sum(history[item].affinity for item in latest)
    scores: Scores = {}
    for item in latest:
        for other, score in lists.get(item, {}).items():
            if other not in history:
                scores[other] = scores.get(other, 0) + history[item].affinity * score / total
    return scores
