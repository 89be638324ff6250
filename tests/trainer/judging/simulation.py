"""Periods that never were: users who take items, some because they were shown them.

Users are of kinds, and mostly take items of their kind; in each period a few items are the hits of
a kind, which many of it take, so users of a kind are alike. How many items a user has, and takes,
follows a Pareto distribution. One item of four that a user takes is from the list that his variant
showed him. Lists are made for the period, so another variant's are others even if as good: each
item's neighbors are items of its kind, in an order of their own, but for a share that are any.

`python -m tests.trainer.judging.simulation 2000 0.05` prints, of periods of several
sorts, how often the 95 % interval has the difference that all users would show, and how often a
canary is rolled back; and of 1,000 searches by `auto`, how often the gate refuses what it chose,
where what is served is as good.
"""

import sys
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from contracts.generations import Comparison
from contracts.messages import Floats, Ints
from contracts.pointer import in_canary
from trainer.judging.canary import CanaryRules
from trainer.judging.intervals import compare, is_ahead, lead_of
from trainer.judging.period import Lists, ndcg_of
from trainer.quality.checking import KEPT_MIN
from trainer.reading import ParsedHistories

RULES: Final = CanaryRules()
KINDS: Final = 10
ITEMS: Final = 200
KIND: Final = np.arange(ITEMS) % KINDS
NEIGHBORS: Final = 15
N: Final = 10
PARETO_SHAPE: Final = 1.5
TAKEN_MOST: Final = 40
FOLLOWED: Final = 0.25
"""Of what users take, the share that is from their lists."""
OF_KIND: Final = 0.7
HITS: Final = 0.2
CANDIDATES: Final = 30

Random = np.random.Generator
Flags = npt.NDArray[np.bool_]


class Simulated(NamedTuple):
    """A canary at the end of its period."""

    compared: Comparison
    effect: float
    """the difference if all users had had the canary, and if all had not"""


def simulated(
    random: Random, users: int, share: float, *, loss: float = 0, same: bool = False
) -> Simulated:
    """Return a canary whose lists are as good but for a share of them, or the very same lists."""
    kinds = random.integers(KINDS, size=users)
    had, taken = _had(random, kinds), _taken(random, kinds)
    served = _lists(random, 0)
    of_served = of_canary = _outcomes(random, had, taken, served)
    if not same:
        of_canary = _outcomes(random, had, taken, _lists(random, loss))
    generation = f"g{random.integers(2**40)}"
    on_canary = np.array([in_canary(f"u{u}", generation, share) for u in range(users)])
    figures = (of_canary[on_canary], of_served[~on_canary])
    compared = compare(*(of_users[~np.isnan(of_users)] for of_users in figures))
    assert compared is not None
    return Simulated(compared, float(np.nanmean(of_canary) - np.nanmean(of_served)))


def refused(random: Random, users: int) -> bool:
    """Return whether the gate refuses what `auto` chose among candidates that are all as good.

    One of them is served, another one what is taken unless one leads beyond chance.
    """
    liked = random.random(users) < 0.4  # the others' items nobody can predict
    ndcg = [
        np.where(liked & (random.random(users) < 0.7), _gains(random, users), 0.0)
        for _ in range(CANDIDATES)
    ]
    alike = np.where(liked & (random.random(users) < 0.7), _gains(random, users), 0.0)
    ndcg = [np.where(random.random(users) < 0.8, alike, of_users) for of_users in ndcg]
    served, plain = ndcg[0], ndcg[1]
    best = max(ndcg, key=lambda of_users: float(of_users.mean()))
    chosen = best if is_ahead(best, plain) else plain
    return lead_of(chosen, served).kept_at_best < KEPT_MIN


def _gains(random: Random, users: int) -> Floats:
    return np.asarray(1 / np.log2(random.integers(2, N + 2, users)))


def _lists(random: Random, loss: float) -> Floats:
    """Return (items, items) scores; a share of the lists recommends items of any kind."""
    order = random.random((ITEMS, ITEMS)) + (KIND[:, np.newaxis] == KIND)
    lost = random.random(ITEMS) < loss
    order[lost] = random.random((int(lost.sum()), ITEMS))
    np.fill_diagonal(order, 0)
    kept = np.argsort(-order, axis=1)[:, :NEIGHBORS]
    scores = np.zeros((ITEMS, ITEMS))
    np.put_along_axis(scores, kept, 1 / np.arange(1.0, NEIGHBORS + 1), axis=1)
    return scores


def _how_many(random: Random, users: int) -> Ints:
    many = np.ceil(random.pareto(PARETO_SHAPE, users) + 0.5)
    return np.minimum(many, TAKEN_MOST).astype(np.int64)


def _had(random: Random, kinds: Ints) -> Flags:
    """Return (users, items) what users have when the period begins: items of their kind."""
    n = _how_many(random, len(kinds))[:, np.newaxis]
    place = random.random((len(kinds), ITEMS // KINDS)).argsort(axis=1)
    had = np.zeros((len(kinds), ITEMS), np.bool_)
    for kind in range(KINDS):
        had[np.ix_(kinds == kind, np.equal(KIND, kind))] = (place < n)[kinds == kind]
    return had


def _taken(random: Random, kinds: Ints) -> tuple[Ints, Ints]:
    """Return (n,) users and items that they take if they do not follow their lists."""
    user = np.repeat(np.arange(len(kinds)), _how_many(random, len(kinds)))
    hits = random.integers(ITEMS // KINDS, size=(KINDS, 2))
    drawn, n = random.random(len(user)), len(user)
    of_kind = random.integers(ITEMS // KINDS, size=n)
    of_kind = np.where(drawn < HITS, hits[kinds[user], random.integers(2, size=n)], of_kind)
    own = of_kind * KINDS + kinds[user]
    return user, np.where(drawn < OF_KIND, own, random.integers(ITEMS, size=n))


def _outcomes(random: Random, had: Flags, taken: tuple[Ints, Ints], lists: Floats) -> Floats:
    """Return (users,) nDCG if all had been shown these lists, NaN of who takes nothing new."""
    shown = np.argsort(-np.where(had, -1.0, had @ lists), axis=1, kind="stable")[:, :N]
    user, own = taken
    follows = random.random(len(user)) < FOLLOWED
    item = np.where(follows, shown[user, random.integers(N, size=len(user))], own)
    new = np.zeros_like(had)
    new[user, item] = True
    new &= ~had
    users, items = np.nonzero(had | new)
    first_ms = np.where(new[users, items], 2, 0)
    ones = np.ones(len(items))
    lengths = np.bincount(users, minlength=len(had))
    histories = ParsedHistories({}, lengths, items, ones, ones, first_ms, first_ms, {})
    rows = {i: (np.flatnonzero(row), row[row > 0]) for i, row in enumerate(lists)}
    outcomes = np.full(len(had), np.nan)
    nobody = (np.empty(0, np.int64), np.empty(0))
    outcomes[new.any(axis=1)] = ndcg_of(histories, 1, Lists(rows, {}, nobody))
    return outcomes


def main(users: int = 2_000, share: float = 0.05) -> None:
    """Print the tables of docs/operations.md."""
    random = np.random.default_rng(20261201)
    print(f"{users} users, {share:.0%} of whom have the canary", flush=True)
    for runs, sort, options in (
        (1_000, "the same lists", {"same": True}),
        (1_000, "others, as good", {}),
        (200, "a tenth of the lists spoiled", {"loss": 0.1}),
        (200, "a third", {"loss": 0.33}),
        (200, "all", {"loss": 1.0}),
    ):
        found = [simulated(random, users, share, **options) for _ in range(runs)]
        covered = np.mean(
            [each.compared.low <= each.effect <= each.compared.high for each in found]
        )
        rolled_back = np.mean([RULES.is_broken(each.compared) for each in found])
        loss = np.mean([-each.effect / each.compared.mean_default for each in found])
        n = np.mean([each.compared.users for each in found])
        figures = f"loss {loss:.1%}, covered {covered:.1%}, rolled back {rolled_back:.1%}"
        print(f"{runs} canaries of {n:.0f} users, {sort}: {figures}", flush=True)
    for users in (60, 200, 2_000):
        share = float(np.mean([refused(random, users) for _ in range(1_000)]))
        print(f"gate, {users} users: refused {share:.1%}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
