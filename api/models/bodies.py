"""Bodies of decisions into what they ask for. Pure."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from api.http.decoding import decoded
from api.http.problems import broken_rule
from contracts.generations import Experiment
from contracts.variants import check_experiment

MAX_WHY_CHARACTERS: Final = 500
MAX_VARIANTS: Final = 100
"""That an experiment may name."""


class Reason(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why a person decides so; it stands among the decisions."""

    why: Annotated[str, Meta(max_length=MAX_WHY_CHARACTERS)] = ""


class Weights(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An experiment as it is asked for."""

    name: str
    """another name puts users into other groups"""
    weights: Annotated[dict[str, float], Meta(min_length=1, max_length=MAX_VARIANTS)]
    """variant -> its users relative to those of the others"""


_reason: Final = msgspec.json.Decoder(Reason)
_weights: Final = msgspec.json.Decoder(Weights)


def parse_reason(body: bytes) -> str:
    """Return why someone decides; empty if nothing is said.

    >>> parse_reason(b'{"why": "nDCG fell"}'), parse_reason(b"")
    ('nDCG fell', '')

    Raises:
        Problem: the body is not JSON, or breaks a rule.
    """
    return decoded(_reason, body).why if body.strip() else ""


def parse_experiment(body: bytes) -> Experiment:
    """Return the experiment that is asked for.

    Raises:
        Problem: the body is not JSON, or breaks a rule.
    """
    asked = decoded(_weights, body)
    experiment = Experiment(asked.name, asked.weights)
    try:
        check_experiment(experiment)
    except ValueError as error:
        raise broken_rule("weights", str(error)) from error
    return experiment
