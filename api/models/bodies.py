"""Parses the bodies of decisions. Pure."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from api.http.bodies import decoded
from api.http.problems import broken_rule
from contracts.generations import Experiment
from contracts.variants import check_experiment

MAX_WHY_CHARACTERS: Final = 500
MAX_GENERATION_CHARACTERS: Final = 100
MAX_VARIANTS: Final = 100
"""Per experiment."""


class Reason(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A decision on a generation."""

    why: Annotated[str, Meta(max_length=MAX_WHY_CHARACTERS)] = ""
    """is recorded with it"""
    expected: Annotated[str, Meta(min_length=1, max_length=MAX_GENERATION_CHARACTERS)] | None = None
    """the canary or, without one, the generation of the default variant: with another, nothing is
    done"""


class Weights(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A requested experiment."""

    name: str
    """a different name assigns users to different groups"""
    weights: Annotated[dict[str, float], Meta(min_length=1, max_length=MAX_VARIANTS)]
    """variant -> its relative share of the users"""


_reason: Final = msgspec.json.Decoder(Reason)
_weights: Final = msgspec.json.Decoder(Weights)


def parse_reason(body: bytes) -> Reason:
    """Return the reason of a decision, and which generation it is about.

    >>> parse_reason(b'{"why": "nDCG fell"}'), parse_reason(b"").why
    (Reason(why='nDCG fell', expected=None), '')

    Raises:
        Problem: the body is not JSON, or invalid.
    """
    return decoded(_reason, body) if body.strip() else Reason()


def parse_experiment(body: bytes) -> Experiment:
    """Return the requested experiment.

    Raises:
        Problem: the body is not JSON, or invalid.
    """
    asked = decoded(_weights, body)
    experiment = Experiment(asked.name, asked.weights)
    try:
        check_experiment(experiment)
    except ValueError as error:
        raise broken_rule("weights", str(error)) from error
    return experiment
