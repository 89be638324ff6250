"""The endpoints of models: what is served, and the decisions that led to it."""

from typing import Final

from api.generations.answers import (
    Arm,
    Checked,
    Decisions,
    Experiments,
    Figures,
    Learned,
    Model,
    Models,
    Trial,
    Variant,
)
from api.generations.reading import ModelReader
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
from contracts.generations import (
    BY_RULES,
    CANARY_VARIANT,
    DEFAULT_VARIANT,
    Comparison,
    Decision,
    HeldOut,
    Outcome,
    UnderWay,
)
from contracts.keyspace import DECISIONS_KEPT

_CHECKED: Final = Checked(
    rule="users",
    level="hard",
    holds=True,
    value=2000,
    limit=0,
    meaning="users with a history, at least the limit",
)
_FIGURES: Final = Figures(
    started="2021-08-15T21:10:00+00:00",
    finished="2021-08-15T21:10:04+00:00",
    data=Learned(items=500, pairs=61234, users=2000, affinities=31000),
    quality=[_CHECKED],
    held_out=HeldOut(1800, 0.31, 0.29, 0.33, 0.8, 0.9),
)
_SERVED: Final = Model("20210815T211000Z-7", "cosine", "user-knn", report=_FIGURES)
_ON_TRIAL: Final = Model("20210815T221000Z-8", "ease", "user-knn", report=_FIGURES)

_MODELS: Final = Models(
    experiment=None,
    variants=[
        Variant(DEFAULT_VARIANT, 0.9, _SERVED),
        Variant(CANARY_VARIANT, 0.1, _ON_TRIAL, Trial(0.1, 1629065404000, 1629069004000)),
    ],
    previous=[],
    held=False,
    under_way=UnderWay("search", "2021-08-15T22:10:04+00:00", 81234, 23, "ease, nDCG@10 0.0827"),
)
_DECISION: Final = Decision(
    at="2021-08-15T22:10:04+00:00",
    generation="20210815T221000Z-8",
    variant=CANARY_VARIANT,
    what="on trial",
    why="for 60 minutes, with 10.0% of the users",
    by=BY_RULES,
)
_OUTCOME: Final = Outcome("ease", Comparison(310, 1920, 0.314, 0.296, -0.006, 0.042))
_EXPERIMENTS: Final = Experiments(
    "spring",
    [
        Arm(DEFAULT_VARIANT, 9, 0.9, "20210815T211000Z-7"),
        Arm("ease", 1, 0.1, "20210815T211000Z-7-1", _OUTCOME),
    ],
    1628373004000,
    1628977804000,
)

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
if one is on trial; the generations available for a rollback; whether publication is on hold; and
what the trainer is doing.""",
            read=reader.models,
            scope="read:pipeline",
            success=Success(kind=Models, example=_MODELS),
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
            success=Success(kind=Decisions, example=Decisions([_DECISION])),
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
            success=Success(kind=Experiments, example=_EXPERIMENTS),
            problems=_READING,
        ),
    )
