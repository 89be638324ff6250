"""Which variant a user gets: a pure function of the user's id and of `model:current`.

Weighted rendezvous hashing. Each variant draws a number for the user from a hash of experiment,
variant and user; the variant with the largest `-weight / ln(draw)` has the user. From that follows:

- A variant's share of the users is its weight divided by the sum of the weights.
- A user stays with a variant for as long as the weights do, whichever process answers.
- When one weight grows, users move into that variant only, from each other one in proportion; when
  it shrinks, they move out of it only. No move is ever needed between two others.
- Another experiment's groups have nothing to do with this one's.

A canary takes its share from the users of the default variant, by a hash of its generation and the
user: other variants don't notice it, and each canary meets other users.

Sources: Thaler and Ravishankar, "A name-based mapping scheme for rendezvous", 1996; weights:
Schindelhauer and Schomaker, "Weighted distributed hash tables", SPAA 2005.
"""

import re
from collections.abc import Collection
from hashlib import blake2b
from math import inf, log

from contracts.feedback import NAME
from contracts.generations import CANARY_VARIANT, DEFAULT_VARIANT, Current, Experiment, Served


def served_to(user_id: str | None, current: Current) -> tuple[str, Served] | None:
    """Return the variant of a user, and what it serves; None if nothing is published.

    Args:
        user_id: None for what is the same for all users: that is the default variant's.
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
    """Return the names of the variants that are served, the canary's included."""
    return [*current.variants, *([CANARY_VARIANT] if current.canary else [])]


def served_generations(current: Current) -> set[str]:
    """Return the generations that someone is served."""
    return {served.generation for served in current.variants.values()} | (
        {current.canary.served.generation} if current.canary else set()
    )


def shares(current: Current) -> dict[str, float]:
    """Return the share of all users that each variant, the canary included, has."""
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
    """Judge an experiment that someone asks for.

    Raises:
        ValueError: its name or a variant's breaks the rule of names, a weight is below 0 or not
            finite, or all are 0.
    """
    variants = (("variant", name) for name in experiment.weights)
    for what, name in (("experiment", experiment.name), *variants):
        if not re.fullmatch(NAME, name):
            raise ValueError(f"{what} {name!r} is no name: {NAME}")
    for name, weight in experiment.weights.items():
        if not 0 <= weight < inf:
            raise ValueError(f"the weight of {name} is {weight}: it must be 0 or more, and finite")
    if not any(experiment.weights.values()):
        raise ValueError("no variant has a weight above 0: nobody would get anything")


def variant_of(user_id: str, experiment: Experiment, served: Collection[str]) -> str:
    """Return the variant of a user in an experiment.

    What has a weight and is not served is left out, and its users are the others'. If that leaves
    nothing, it is the default variant.

    >>> experiment = Experiment("spring", {"default": 9, "ease": 1})
    >>> [variant_of(user, experiment, {"default", "ease"}) for user in ("u0", "u4")]
    ['default', 'ease']
    """
    best, variant = 0.0, DEFAULT_VARIANT
    for name, weight in experiment.weights.items():
        if weight > 0 and name in served:
            score = -weight / log(_draw(f"{experiment.name}/{name}/{user_id}"))
            if score > best:
                best, variant = score, name
    return variant


def in_canary(user_id: str, generation: str, share: float) -> bool:
    """Return whether a user is among the share, 0 to 1, that a canary is shown to.

    A larger share has all the users of a smaller one.
    """
    return _draw(f"{generation}/{user_id}") < share


def _draw(text: str) -> float:
    """Return a number above 0 and below 1, uniform over texts."""
    # Names have no slash, and the user's id, which may, comes last: no two texts are the same.
    number = int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")
    return ((number >> 12) + 0.5) / 2**52
