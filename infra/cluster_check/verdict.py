"""Judges a surge's samples."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from infra.cluster_check.surge import FRESH_S, SETTLES_WITHIN_S, Sample


class Claim(NamedTuple):
    """The expectation, the observation, and whether they agree."""

    what: str
    seen: str
    holds: bool


def fresh_again_s(samples: Iterable[Sample]) -> float | None:
    """Return when records became fresh again; 0 if they always were."""
    was_stale = False
    for sample in samples:
        is_fresh = sample.fresh_s is not None and sample.fresh_s < FRESH_S
        if is_fresh and was_stale:
            return sample.at_s
        was_stale |= not is_fresh
    return None if was_stale else 0.0


def claims(samples: Sequence[Sample], surge_s: float) -> list[Claim]:
    """Return what the samples show."""
    fewest = samples[0].wanted
    during = [sample for sample in samples if 0 < sample.at_s <= surge_s]
    after = [sample for sample in samples if sample.at_s > surge_s]
    most = max(sample.wanted for sample in during)
    again_s, settled_s = fresh_again_s(during), during[-1].settled_s
    steps = [now.wanted - before.wanted for before, now in pairwise(after)]
    falls_s = [sample.at_s - surge_s for sample in after if sample.wanted < most]
    return [
        Claim("a tenfold feed gets more workers", f"{fewest} to {most}", most > fewest),
        Claim(
            f"p99 is below {FRESH_S:g} s from second {SETTLES_WITHIN_S:g} on",
            f"{_said(settled_s)}; below it again after {_said(again_s)}",
            settled_s is not None and settled_s < FRESH_S,
        ),
        Claim(
            "when it is over, workers go one at a time, down to the fewest",
            f"the first after {min(falls_s, default=0):.0f} s, {-min(steps, default=0)} at a time",
            bool(after) and after[-1].wanted == fewest and min(steps, default=0) == -1,
        ),
    ]


def _said(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.1f} s"
