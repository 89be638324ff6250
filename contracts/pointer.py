"""The pointer `model:current`: how decisions change it, and which variant each user gets.

Pure: a decision takes a `Current` and returns a new one. A generation is kept as long as it is
named there: by a variant, as the canary, for a rollback of the default variant, or for the
comparison at an experiment's end. It is a single value, so a decision takes effect atomically: it
is written with one compare-and-set script.

A user's variant is a function of the user's id and the pointer alone. A hash of the experiment's
name and the user's id draws a number from 0 to 1. The variants share that range in the order of
their weights, so:

- A variant's share of the users is its weight divided by the sum of the weights.
- A user stays with a variant as long as the weights are unchanged, in every process.
- Other weights may move users between any variants. They begin another period, with users of its
  own: no figure is of users before and after.
- The groups of different experiments are independent.

A canary takes its share from the users of the default variant, by a hash of its generation and the
user: other variants are not affected, and each canary gets different users.
"""

import re
from collections.abc import Collection
from hashlib import blake2b
from math import inf
from typing import Final

from msgspec.structs import replace

from contracts.feedback import NAME
from contracts.generations import (
    CANARY_VARIANT,
    DEFAULT_VARIANT,
    Canary,
    Current,
    Experiment,
    Outcome,
    Served,
)

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


def served_to(user_id: str | None, current: Current) -> tuple[str, Served] | None:
    """Return the variant of a user, and what it serves; None if nothing is published.

    Args:
        user_id: None for answers that are the same for all users: the default variant's.
        current: what is served.
    """
    variant = DEFAULT_VARIANT
    if user_id is not None and current.experiment is not None:
        variant = variant_of(user_id, current.experiment, current.variants)
    if user_id is not None and variant == DEFAULT_VARIANT and current.canary is not None:
        canary = current.canary
        if in_canary(user_id, canary.served.generation, canary.share):
            return CANARY_VARIANT, canary.served
    served = current.variants.get(variant)
    return None if served is None else (variant, served)


def variant_names(current: Current) -> list[str]:
    """Return the names of the served variants, including the canary."""
    return [*current.variants, *([CANARY_VARIANT] if current.canary else [])]


def served_generations(current: Current) -> set[str]:
    """Return the generations served to any user."""
    return {served.generation for served in current.variants.values()} | (
        {current.canary.served.generation} if current.canary else set()
    )


def shares(current: Current) -> dict[str, float]:
    """Return each variant's share of all users, including the canary's."""
    weights = current.experiment.weights if current.experiment else {}
    total = sum(weight for name, weight in weights.items() if name in current.variants)
    found = {name: weights.get(name, 0) / total if total else 0.0 for name in current.variants}
    if not total and DEFAULT_VARIANT in found:
        found[DEFAULT_VARIANT] = 1.0
    if current.canary:
        of_default = found[DEFAULT_VARIANT]
        found[CANARY_VARIANT] = of_default * current.canary.share
        found[DEFAULT_VARIANT] = of_default - found[CANARY_VARIANT]
    return found


def check_experiment(experiment: Experiment) -> None:
    """Validate a requested experiment.

    Raises:
        ValueError: its name or a variant's is invalid, a weight is negative or not finite, or all
            are 0.
    """
    variants = (("variant", name) for name in experiment.weights)
    for what, name in (("experiment", experiment.name), *variants):
        if not re.fullmatch(NAME, name):
            raise ValueError(f"{what} {name!r} is not a valid name: {NAME}")
    for name, weight in experiment.weights.items():
        if not 0 <= weight < inf:
            raise ValueError(f"the weight of {name} is {weight}: it must be 0 or more, and finite")
    if not any(experiment.weights.values()):
        raise ValueError("no variant has a weight above 0: nobody would get anything")


def variant_of(user_id: str, experiment: Experiment, served: Collection[str]) -> str:
    """Return the variant of a user in an experiment.

    Variants that are not served are left out, and their users go to the others. If none is left,
    the result is the default variant.

    >>> experiment = Experiment("spring", {"default": 9, "ease": 1})
    >>> [variant_of(user, experiment, {"default", "ease"}) for user in ("u0", "u13")]
    ['default', 'ease']
    """
    weights = {name: of for name, of in experiment.weights.items() if of > 0 and name in served}
    left = draw(f"{experiment.name}/{user_id}") * sum(weights.values())
    for variant, weight in weights.items():
        left -= weight
        if left < 0:
            return variant
    return next(reversed(weights), DEFAULT_VARIANT)


def in_canary(user_id: str, generation: str, share: float) -> bool:
    """Return whether a user belongs to a canary's share, 0 to 1.

    A larger share includes all users of a smaller one.
    """
    return draw(f"{generation}/{user_id}") < share


def draw(text: str) -> float:
    """Return a number in (0, 1), uniform over texts."""
    # Names contain no slash, and the user's id, which may, comes last: all texts differ.
    number = int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")
    return ((number >> 12) + 0.5) / 2**52
