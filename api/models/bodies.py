"""Bodies of decisions into what they ask for. Pure."""

from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta

from api.http.problems import INVALID_REQUEST, MALFORMED_JSON, Problem
from api.http.schemas import Schema, schemas_of
from contracts.generations import Experiment
from contracts.variants import check_experiment

MAX_WHY_CHARACTERS: Final = 500
MAX_VARIANTS: Final = 100
"""That an experiment may name."""

T = TypeVar("T")


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
    return _decoded(_reason, body).why if body.strip() else ""


def parse_experiment(body: bytes) -> Experiment:
    """Return the experiment that is asked for.

    Raises:
        Problem: the body is not JSON, or breaks a rule.
    """
    asked = _decoded(_weights, body)
    experiment = Experiment(asked.name, asked.weights)
    try:
        check_experiment(experiment)
    except ValueError as error:
        raise _broken("weights", str(error)) from error
    return experiment


def schema_of(kind: Any) -> Schema:
    """Return the schema of such a body."""
    ((schema,), _) = schemas_of([kind])
    return schema


def _decoded(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$.")
        raise _broken(path.rstrip("`") or "body", reason) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Problem(MALFORMED_JSON, str(error)) from error


def _broken(field: str, reason: str) -> Problem:
    detail = f"{field}: {reason}"
    return Problem(INVALID_REQUEST, detail, errors=[{"field": field, "reason": reason}])
