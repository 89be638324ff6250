"""What each model says of counts and histories, each formula written out, with dense matrices."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from tests.oracles.histories import DAY_MS, History
from tests.settings.plain_histories import Counts
from trainer.models.cosine import CosineConfig
from trainer.models.ease import EaseConfig
from trainer.settings import TrainerSettings

Floats = npt.NDArray[np.float64]
Scores = dict[int, float]
"""By item: only those above 0 are in a list."""

DECIMALS: Final = 12


def similar(counts: Counts, settings: TrainerSettings) -> dict[int, Scores]:
    """Return the neighbors of each item, cut to the length of a list; some may be below 0."""
    made = {
        "cosine": lambda: _cosine(counts.g, settings.config("cosine")),
        "ease": lambda: _ease(counts.g, settings.config("ease")),
    }
    scores = np.round(made[settings.item_model](), DECIMALS)
    np.fill_diagonal(scores, 0)
    return {
        item: _best(dict(zip(counts.items, row.tolist(), strict=True)), settings.neighbors_per_item)
        for item, row in zip(counts.items, scores, strict=True)
    }


def _best(scores: Scores, n: int) -> Scores:
    """Return the n furthest from 0; which of equal ones at the end is for who compares to allow."""
    ranked = sorted(scores.items(), key=lambda entry: (-abs(entry[1]), entry[0]))
    return {item: score for item, score in ranked[:n] if score}


def _power(base: Floats, exponent: float) -> Floats:
    return np.power(base, exponent, out=np.zeros_like(base), where=base > 0)


def _cosine(g: Floats, config: CosineConfig) -> Floats:
    own, beta = g.diagonal(), config.popularity_damping
    scale = np.outer(_power(own, 1 - beta), _power(own, beta)) + config.shrinkage
    scores = np.divide(g, scale, out=np.zeros_like(g), where=scale > 0)
    scores[:, np.argsort(-own, kind="stable")[: config.popular_removed]] = 0
    return scores


def _ease(g: Floats, config: EaseConfig) -> Floats:
    """Return the weights among all items."""
    own = g.diagonal()
    popularity = own / own.max()
    damping = _power(popularity, -(config.own_damping + config.popularity_damping) / 2)
    a = g / own.max() * np.outer(damping, damping)
    ridge = config.regularization * a.diagonal()[own > 0].mean()
    p = np.linalg.inv(a + ridge * np.eye(len(a)))
    weights = -p / p.diagonal()
    shift = _power(popularity, -(config.own_damping - config.popularity_damping) / 2)
    scores: Floats = weights * np.outer(shift, _power(shift, -1))
    return scores


def popular(counts: Counts, settings: TrainerSettings) -> Scores:
    """Return the popular list."""
    own = dict(zip(counts.items, counts.g.diagonal().tolist(), strict=True))
    return _best(own, settings.config("popular").items)


def latest(histories: Mapping[str, History], n: int) -> list[str]:
    """Return the n users who were active last."""
    last = {u: max(held.ts_ms for held in history.values()) for u, history in histories.items()}
    return sorted(histories, key=lambda user: (-last[user], user))[:n]


def own_lists(histories: Mapping[str, History], settings: TrainerSettings) -> dict[str, Scores]:
    """Return the list of each user who gets one."""
    active = latest(histories, settings.active_users if settings.user_model == "user-knn" else 0)
    items, x = rows(histories, active, settings)
    return {
        user: _best(
            dict(zip(items, _of_neighbors(x, row, settings).tolist(), strict=True)),
            settings.config("user-knn").recommendations,
        )
        for row, user in enumerate(active)
    }


def rows(
    histories: Mapping[str, History], users: list[str], settings: TrainerSettings
) -> tuple[list[int], Floats]:
    """Return the items that some users have, and (n_users, n_items) what distances are between."""
    items = sorted({item for user in users for item in histories[user]})
    x = np.array([[_affinity(histories[user], item) for item in items] for user in users])
    if settings.config("user-knn").metric == "unit-length" and len(users):
        x = x / np.linalg.norm(x, axis=1, keepdims=True)
    return items, x


def _of_neighbors(x: Floats, row: int, settings: TrainerSettings) -> Floats:
    """Return the score of each item for the user of a row, 0 for what the user has."""
    distances = np.linalg.norm(x - x[row], axis=1)
    distances[row] = np.inf
    nearest = np.argsort(distances, kind="stable")[: min(settings.config("user-knn").k, len(x) - 1)]
    d = distances[nearest]
    is_raw = settings.config("user-knn").metric == "raw"
    weights = 1 / (1 + d) if is_raw else np.round(1 - d**2 / 2, DECIMALS)
    total = weights.sum()
    scores: Floats = weights @ x[nearest] / total if total > 0 else np.zeros(x.shape[1])
    return np.where(x[row] > 0, 0, np.round(scores, DECIMALS))


def _affinity(history: History, item: int) -> float:
    return history[item].affinity if item in history else 0.0


def folded_in(history: History, lists: Mapping[int, Scores], settings: TrainerSettings) -> Scores:
    """Return what a user's history makes of the items' lists."""
    some = sorted(history, key=lambda item: (-history[item].ts_ms, item))
    newest_ms = max((held.ts_ms for held in history.values()), default=0)
    weights = {
        item: history[item].unscaled
        * _decay(newest_ms - history[item].ts_ms, settings.fold_in_half_life_days)
        for item in some[: settings.fold_in_items]
    }
    scores: Scores = {}
    for item, weight in weights.items():
        for other, score in lists.get(item, {}).items():
            if other not in history:
                scores[other] = scores.get(other, 0) + weight * score / sum(weights.values())
    return {item: score for item, score in scores.items() if round(score, DECIMALS) > 0}


def _decay(age_ms: int, half_life_days: float) -> float:
    return float(2 ** (-age_ms / DAY_MS / half_life_days)) if half_life_days else 1.0
