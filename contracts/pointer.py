"""The transitions of `model:current` on decisions. Pure: a `Current` in, a new one out.

A generation is kept as long as it is named there: by a variant, as the canary, for a rollback of
the default variant, or for the comparison at an experiment's end. It is a single value, so a
decision takes effect atomically: it is written with one compare-and-set script.
"""

from collections.abc import Collection
from typing import Final

from msgspec.structs import replace

from contracts.figures import Outcome
from contracts.generations import DEFAULT_VARIANT, Canary, Current, Experiment, Served

REPLACE_SCRIPT: Final = """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""
"""Replaces the first argument, empty for no value, by the second; returns 1 if it did, otherwise
0."""


class UndecidableError(ValueError):
    """The requested change is not possible in the current state."""


def named(current: Current) -> set[str]:
    """Return the generations that are served, or kept for a rollback or for a comparison."""
    on_trial = [current.canary.served] if current.canary else []
    compared = current.experiment.started.values() if current.experiment else ()
    all_served = [*current.variants.values(), *on_trial, *current.previous, *compared]
    return {served.generation for served in all_served}


def serving(current: Current, variant: str, served: Served, keep: int) -> Current:
    """Let a variant serve a new generation.

    The last `keep` generations of the default variant are kept. A canary ends, as it was compared
    with a generation that is no longer served.
    """
    variants = current.variants | {variant: served}
    if variant != DEFAULT_VARIANT:
        return replace(current, variants=variants)
    previous = _kept(current, keep)
    return replace(current, variants=variants, previous=previous, canary=None, held=False)


def on_trial(current: Current, canary: Canary) -> Current:
    """Serve a new generation to some of the default variant's users.

    Raises:
        UndecidableError: nothing is served to compare it with.
    """
    if DEFAULT_VARIANT not in current.variants:
        raise UndecidableError(
            "nothing is served yet, so there is nothing to compare a canary with"
        )
    return replace(current, canary=canary, held=False)


def about(current: Current, expected: str | None) -> Current:
    """Return `current` if the next decision is about the generation `expected`; None: about any.

    It is about the canary or, without one, about what the default variant serves.

    Raises:
        UndecidableError: it would be about another generation.
    """
    served = current.canary.served if current.canary else current.variants.get(DEFAULT_VARIANT)
    found = served.generation if served else "nothing"
    if expected is not None and expected != found:
        state = "on trial" if current.canary else "served, without a canary on trial"
        raise UndecidableError(
            f"{expected} is expected, but {found} is {state}: review what is served, decide again"
        )
    return current


def promoted(current: Current, keep: int) -> Current:
    """Let the default variant serve the canary.

    Raises:
        UndecidableError: there is no canary.
    """
    if current.canary is None:
        raise UndecidableError(
            "no canary is on trial: `python -m trainer history` shows what is served"
        )
    return serving(current, DEFAULT_VARIANT, current.canary.served, keep)


def withdrawn(current: Current) -> Current:
    """Withdraw the canary."""
    return replace(current, canary=None)


def rolled_back(current: Current) -> Current:
    """Withdraw the canary, or, if there is none, return to the previous generation.

    From then on, runs publish nothing until a person requests it: they would repeat the same.

    Raises:
        UndecidableError: no earlier generation is kept.
    """
    if current.canary is not None:
        return replace(current, canary=None, held=True)
    if not current.previous:
        raise UndecidableError(
            "no earlier generation is kept: set KEEP_GENERATIONS to 1 or more before it is needed"
        )
    latest, *rest = current.previous
    variants = current.variants | {DEFAULT_VARIANT: latest}
    return replace(current, variants=variants, previous=rest, held=True)


def weighted(current: Current, experiment: Experiment | None) -> Current:
    """Assign users to variants by an experiment, whose period begins; None ends the current one.

    Raises:
        UndecidableError: a variant with a weight is not served.
    """
    if experiment is None:
        return replace(current, experiment=None)
    wanted = [name for name, weight in experiment.weights.items() if weight]
    if missing := sorted(set(wanted) - current.variants.keys()):
        raise UndecidableError(
            f"{', '.join(missing)} is not served: name it in VARIANTS, and wait for the next run"
        )
    started = {name: current.variants[name] for name in wanted}
    return replace(current, experiment=replace(experiment, started=started))


def compared(current: Current, outcomes: list[Outcome]) -> Current:
    """Note the outcomes of the experiment, whose weights stay, and let go what it started with."""
    if current.experiment is None:
        return current
    return replace(current, experiment=replace(current.experiment, started={}, outcomes=outcomes))


def only(current: Current, variants: Collection[str]) -> Current:
    """Remove every variant except the default one and `variants`."""
    kept = {
        name: served
        for name, served in current.variants.items()
        if name == DEFAULT_VARIANT or name in variants
    }
    return replace(current, variants=kept)


def _kept(current: Current, keep: int) -> list[Served]:
    before = current.variants.get(DEFAULT_VARIANT)
    return [*([before] if before else []), *current.previous][:keep]
