"""Assigns users to variants: a pure function of the user's id and `model:current`.

A hash of the experiment's name and the user's id, and nothing else, draws a number from 0 to 1. The
variants share that range in the order of their weights, so:

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

from contracts.feedback import NAME
from contracts.generations import CANARY_VARIANT, DEFAULT_VARIANT, Current, Experiment, Served


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
