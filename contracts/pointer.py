"""What `model:current` becomes when something is decided. Pure: a `Current` in, another one out.

A generation is served as long as it is named there: by a variant, as the canary, or as one that the
default variant can be rolled back to. All of it is one value, so what is decided holds from one
moment on, and whole. Trainer and API write it by the same script, which puts a new value there only
if it still is the one that was read.
"""

from collections.abc import Collection
from typing import Final

from msgspec.structs import replace

from contracts.generations import DEFAULT_VARIANT, Canary, Current, Experiment, Served

REPLACE_SCRIPT: Final = """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""
"""Returns 1 if the value at the key was the first argument, none being empty, and is the second."""


class UndecidableError(ValueError):
    """What was asked for cannot be done to what is served."""


def named(current: Current) -> set[str]:
    """Return the generations that are served, or kept to be rolled back to."""
    on_trial = [current.canary.served] if current.canary else []
    all_served = [*current.variants.values(), *on_trial, *current.previous]
    return {served.generation for served in all_served}


def serving(current: Current, variant: str, served: Served, keep: int) -> Current:
    """Let a variant serve a new generation.

    Of the default variant the last `keep` before it are kept. A canary ends with it: it was
    compared with a generation that is served no more.
    """
    variants = current.variants | {variant: served}
    if variant != DEFAULT_VARIANT:
        return replace(current, variants=variants)
    previous = _kept(current, keep)
    return replace(current, variants=variants, previous=previous, canary=None, held=False)


def on_trial(current: Current, canary: Canary) -> Current:
    """Let some of the default variant's users have a new generation.

    Raises:
        UndecidableError: nothing is served that it could be compared with.
    """
    if DEFAULT_VARIANT not in current.variants:
        raise UndecidableError(
            "nothing is served yet, so there is nothing to compare a canary with"
        )
    return replace(current, canary=canary, held=False)


def promoted(current: Current, keep: int) -> Current:
    """Let the default variant serve the canary.

    Raises:
        UndecidableError: there is none.
    """
    if current.canary is None:
        raise UndecidableError(
            "no canary is on trial: `python -m trainer history` shows what is served"
        )
    return serving(current, DEFAULT_VARIANT, current.canary.served, keep)


def withdrawn(current: Current) -> Current:
    """Take the canary away."""
    return replace(current, canary=None)


def rolled_back(current: Current) -> Current:
    """Take the canary away, or, if there is none, go back to what was served before.

    Runs publish nothing from then on until a person asks for it: they would make the same again.

    Raises:
        UndecidableError: nothing is kept that one could go back to.
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
    """Spread the users over the variants as an experiment says; None ends it."""
    return replace(current, experiment=experiment)


def only(current: Current, variants: Collection[str]) -> Current:
    """Take away every variant but the default one and `variants`."""
    kept = {
        name: served
        for name, served in current.variants.items()
        if name == DEFAULT_VARIANT or name in variants
    }
    return replace(current, variants=kept)


def _kept(current: Current, keep: int) -> list[Served]:
    before = current.variants.get(DEFAULT_VARIANT)
    return [*([before] if before else []), *current.previous][:keep]
