"""The endpoints of models: what is served, and the decisions that led to it."""

from typing import Final

from api.http.endpoint import ReadEndpoint, Success, Table
from api.http.parameters import whole_number
from api.http.problems import (
    INVALID_REQUEST,
    NO_MODEL_YET,
    OVERLOADED,
    READING_LISTS,
    STORE_UNAVAILABLE,
    ProblemType,
)
from api.models import examples
from api.models.answers import Decisions, Experiments, Models
from api.models.reading import ModelReader
from contracts.keyspace import DECISIONS_KEPT

_DECISIONS: Final = 20

_READING: Final[dict[ProblemType, str]] = {
    kind: READING_LISTS[kind] for kind in (NO_MODEL_YET, OVERLOADED, STORE_UNAVAILABLE)
}


def endpoints(reader: ModelReader) -> Table:
    """Return the endpoints of models."""
    return (
        ReadEndpoint(
            name="models",
            path="/v1/models",
            tag="models",
            summary="Which models are served to which users",
            description="""\
Each variant with its generation, its share of the users and the figures of its report; the canary,
if one is on trial; the generations available for a rollback; and whether publication is on
hold.""",
            read=reader.models,
            scope="read:pipeline",
            success=Success(kind=Models, example=examples.MODELS),
            problems=_READING,
        ),
        ReadEndpoint(
            name="model_decisions",
            path="/v1/models/decisions",
            tag="models",
            summary="Decisions on generations, newest first",
            description="Made by the trainer's rules, or by a person with its commands.",
            parameters=(whole_number("n", DECISIONS_KEPT, _DECISIONS, "maximum number"),),
            read=reader.decisions,
            scope="read:pipeline",
            success=Success(kind=Decisions, example=Decisions([examples.DECISION])),
            problems={
                INVALID_REQUEST: "n: must be a whole number from 1 to 1000, not '0'",
                OVERLOADED: _READING[OVERLOADED],
                STORE_UNAVAILABLE: _READING[STORE_UNAVAILABLE],
            },
        ),
        ReadEndpoint(
            name="experiments",
            path="/v1/experiments",
            tag="models",
            summary="Which users get which variant",
            description="The variants that are served or have a weight, with their shares of the "
            "users.",
            read=reader.experiments,
            scope="read:pipeline",
            success=Success(kind=Experiments, example=examples.EXPERIMENTS),
            problems=_READING,
        ),
    )
