"""Histories as the workers write them, a million of them in some ten seconds.

How many instruments a user has is log-normal, with a median of 8 and a mean of 15, and 500 at most,
the workers' cap; which ones goes by popularity. A duplicate is redrawn uniformly once, and may
still be a duplicate: it counts once, so the mean is slightly lower.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from benchmarks.harness import zipf
from contracts.affinities import HistoryEntry
from contracts.keyspace import OFFSET_FIELD
from contracts.messages import Ints
from contracts.times import DAY_MS

MEDIAN: Final = 8
MEAN: Final = 15
MOST: Final = 500
_AT_A_TIME: Final = 10_000
_ENTRIES: Final = 50_000
"""event times that entries are drawn from"""
_PERIOD_MS: Final = 30 * DAY_MS

Fields = list[str | bytes]
"""field, value, field, value, ..."""

_encode = msgspec.json.Encoder().encode


def histories(
    users: int, by_popularity: Ints, now_ms: int, rng: np.random.Generator, *, long: int = 0
) -> Iterator[tuple[int, Fields]]:
    """Return each user and the fields of the user's history, whose offset is the user's number.

    Args:
        users: how many; their numbers are 0, 1, ...
        by_popularity: the instruments' ids, most popular first, (n_instruments,).
        now_ms: before which all events were, within 30 days.
        rng: draws everything.
        long: so many users, the last ones, have `MOST` instruments, or hardly less.
    """
    items = np.array([b"%d" % item for item in by_popularity.tolist()], np.object_)
    entries = _entries(now_ms, rng)
    for first in range(0, users, _AT_A_TIME):
        lengths = draw_lengths(min(_AT_A_TIME, users - first), rng)
        lengths[max(0, users - long - first) :] = MOST
        pairs = np.empty(2 * lengths.sum(), np.object_)
        pairs[::2] = items[draw_items(lengths, len(items), rng)]
        pairs[1::2] = entries[rng.integers(0, _ENTRIES, lengths.sum())]
        flat, ends = pairs.tolist(), np.concatenate(([0], 2 * np.cumsum(lengths))).tolist()
        for user, (start, end) in enumerate(pairwise(ends), first):
            yield user, [*flat[start:end], OFFSET_FIELD, b"[0,%d]" % user]


def draw_lengths(n: int, rng: np.random.Generator) -> Ints:
    """Return how many instruments each of n users has, (n,), from 1 to `MOST`.

    A log-normal's mean is its median times exp(sigma^2 / 2), which gives sigma.
    """
    sigma = np.sqrt(2 * np.log(MEAN / MEDIAN))
    lengths = np.rint(rng.lognormal(np.log(MEDIAN), sigma, n)).astype(np.int64)
    return np.clip(lengths, 1, MOST)


def draw_items(lengths: Ints, instruments: int, rng: np.random.Generator) -> Ints:
    """Return the ranks of all users' instruments, user after user, (sum of lengths,)."""
    user = np.repeat(np.arange(len(lengths)), lengths)
    rank = zipf.draw(len(user), instruments, rng)
    order = np.lexsort((rank, user))
    user, rank = user[order], rank[order]
    again = np.flatnonzero((np.diff(user) == 0) & (np.diff(rank) == 0)) + 1
    rank[again] = rng.integers(0, instruments, len(again))
    return rank


def _entries(now_ms: int, rng: np.random.Generator) -> npt.NDArray[np.object_]:
    """Return encoded `HistoryEntry`s of binary affinities, at many times."""
    times = now_ms - rng.integers(0, _PERIOD_MS, _ENTRIES)
    return np.array([_encode(HistoryEntry(1.0, ts_ms)) for ts_ms in times.tolist()], np.object_)
