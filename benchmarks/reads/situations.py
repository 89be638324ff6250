"""What is asked for, by whom, and what happens during that.

The reads of instruments are asked for as clients do who leave everything at its default. For
recommendations, what a server has kept decides how fast it is, so each situation stands alone, and
the report says how many of ours' answers, and of the lists that others were folded into, were kept:

- fresh: every request is for another user, so no answer is kept. Lists are, after a few seconds.
- changing: users are asked for by Zipf's law while events change their histories by the same law.
- own lists: users for whom the trainer made a list, by Zipf's law; nothing is folded.
- long: users with 500 instruments, each without one, so that no answer is kept either.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from benchmarks.reads import paths
from benchmarks.reads.data import Size

_READS_BAR: Final = 5.0
_PLAIN_BAR: Final = 2.0
_EVENTS_A_SECOND: Final = 1_000
_FRESH_A_SECOND: Final = 12_000
"""more than are answered"""
_WARM_UP_S: Final = 5
"""long enough for most lists to be read"""
_LONG_CONNECTIONS: Final = 2
_LONG_FOR_S: Final = 5
"""at least: the baseline takes about a second for each answer"""


@dataclass(frozen=True, slots=True)
class Situation:
    """Which paths are requested, and what happens during that."""

    name: str
    paths: Callable[[], list[str]]
    """returns those of the next turn"""
    bar: float | None = None
    """of the ratio to the baseline: the same answers or, for recommendations, a plain GET"""
    is_recommending: bool = False
    connections: int = 64
    warm_up_s: int = 1
    at_least_s: int = 1
    events_a_second: int = 0


def endpoints(size: Size) -> list[Situation]:
    """Return the hot reads of instruments."""
    templates = {
        "bars": "/v1/instruments/{}/bars",
        "similar": "/v1/instruments/{}/similar",
        "first version: bars": "/instruments/{}",
        "first version: similar": "/instruments/similar/{}",
    }
    drawn = {name: paths.of_instruments(size, template) for name, template in templates.items()}
    return [Situation(name, partial(drawn.__getitem__, name), _READS_BAR) for name in templates]


def recommendations(size: Size, seconds: int) -> list[Situation]:
    """Return all four, for turns of so many seconds."""
    a_turn = _FRESH_A_SECOND * max(seconds, _WARM_UP_S)
    fresh = itertools.cycle(paths.batches(size, a_turn))
    by_zipf, own, long = paths.recommendations(size), paths.own_lists(size), paths.long(size)
    situation = partial(Situation, is_recommending=True, warm_up_s=_WARM_UP_S)
    return [
        situation("recommendations, fresh", lambda: next(fresh), _PLAIN_BAR),
        situation("recommendations, changing", lambda: by_zipf, events_a_second=_EVENTS_A_SECOND),
        situation("recommendations, own lists", lambda: own),
        situation(
            "recommendations, long",
            lambda: long,
            connections=_LONG_CONNECTIONS,
            at_least_s=_LONG_FOR_S,
        ),
    ]
