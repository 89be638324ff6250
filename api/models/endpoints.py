"""The endpoints of models: what is served, the decisions, and making them."""

from collections.abc import Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from api.http.bodies import Writing
from api.http.endpoint import ActionEndpoint, ReadEndpoint, Success, Table
from api.http.parameters import whole_number
from api.http.problems import (
    CONFLICT,
    INVALID_EVENTS,
    INVALID_REQUEST,
    LOG_UNAVAILABLE,
    NO_MODEL_YET,
    OVERLOADED,
    READING_LISTS,
    STORE_UNAVAILABLE,
    WRITING,
    ProblemType,
)
from api.http.replies import respond
from api.http.schemas import json_body, schema_of
from api.models import examples
from api.models.answers import Decided, Decisions, Experiments, Models
from api.models.bodies import Reason, Weights, parse_experiment, parse_reason
from api.models.deciding import Deciding
from api.models.reading import ModelReader
from api.models.reports import experiments_answer
from contracts.decisions import Decision
from contracts.generations import DEFAULT_VARIANT, Current, Experiment
from contracts.keyspace import DECISIONS_KEPT

_DECISIONS: Final = 20

_READING: Final[dict[ProblemType, str]] = {
    kind: READING_LISTS[kind] for kind in (NO_MODEL_YET, OVERLOADED, STORE_UNAVAILABLE)
}
_NOT_FOR_EVENTS: Final = (INVALID_EVENTS, LOG_UNAVAILABLE)
_DECIDING: Final[dict[ProblemType, str]] = {
    **{kind: case for kind, case in WRITING.items() if kind not in _NOT_FOR_EVENTS},
    STORE_UNAVAILABLE: READING_LISTS[STORE_UNAVAILABLE],
    CONFLICT: "g2 is expected, but g3 is on trial: review what is served, decide again",
    INVALID_REQUEST: "why: Expected `str` of length <= 500",
}


def endpoints(
    reader: ModelReader,
    deciding: Deciding,
    writing: Writing,
    caller: Callable[[Request], str],
) -> Table:
    """Return the endpoints of models.

    Args:
        reader: reads what is served.
        deciding: changes what is served.
        writing: reads bodies.
        caller: returns the name of a request's sender, for the record.
    """

    async def promote(request: Request) -> Response:
        reason = parse_reason(await writing.body_of(request))
        return _decided(*await deciding.promote(caller(request), reason))

    async def roll_back(request: Request) -> Response:
        reason = parse_reason(await writing.body_of(request))
        return _decided(*await deciding.roll_back(caller(request), reason))

    async def weigh(request: Request) -> Response:
        experiment: Experiment = parse_experiment(await writing.body_of(request))
        return respond(experiments_answer(await deciding.weigh(caller(request), experiment)))

    async def end(request: Request) -> Response:
        return respond(experiments_answer(await deciding.weigh(caller(request), None)))

    reason = json_body(schema_of(Reason), why=Reason("nDCG@10 held for a day", "g2"))
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
            description="Made by the trainer's rules, by its commands, or through this API.",
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
        ActionEndpoint(
            name="promote_model",
            method="POST",
            path="/v1/models/promote",
            tag="models",
            summary="Promote the canary to all users of the default variant",
            description="Takes effect with the next request. The replaced generation is kept for a "
            "rollback. Name the canary in `expected`: if another one is on trial by then, the "
            "answer is 409.",
            act=promote,
            body=reason,
            body_kinds=(Reason,),
            scope="admin",
            cost=0,
            success=Success(kind=Decided, example=Decided("promoted", "g2", "g2")),
            problems=_DECIDING,
        ),
        ActionEndpoint(
            name="roll_back_model",
            method="POST",
            path="/v1/models/rollback",
            tag="models",
            summary="Withdraw the canary or, without one, return to the previous generation",
            description="Takes effect with the next request. The trainer then publishes nothing "
            "until a person requests it: `python -m trainer once`. Name what you withdraw in "
            "`expected`: if it is another generation by then, the answer is 409.",
            act=roll_back,
            body=reason,
            body_kinds=(Reason,),
            scope="admin",
            cost=0,
            success=Success(kind=Decided, example=Decided("rolled back", "g2", "g1")),
            problems=_DECIDING,
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
        ActionEndpoint(
            name="put_experiments",
            method="PUT",
            path="/v1/experiments",
            tag="models",
            summary="Assign users to variants",
            description="Takes effect with the next request. A variant has no users until it is "
            "served; a different name assigns users to different groups.",
            act=weigh,
            body=json_body(schema_of(Weights), spring=Weights("spring", {"default": 9, "ease": 1})),
            body_kinds=(Weights,),
            scope="admin",
            cost=0,
            success=Success(kind=Experiments, example=examples.EXPERIMENTS),
            problems={**_DECIDING, INVALID_REQUEST: "weights: no variant has a weight above 0"},
        ),
        ActionEndpoint(
            name="delete_experiments",
            method="DELETE",
            path="/v1/experiments",
            tag="models",
            summary="End the experiment",
            description="From the next request on, every user gets the default variant.",
            act=end,
            scope="admin",
            success=Success(kind=Experiments, example=examples.NO_EXPERIMENT),
            problems={
                OVERLOADED: WRITING[OVERLOADED],
                CONFLICT: _DECIDING[CONFLICT],
                STORE_UNAVAILABLE: _READING[STORE_UNAVAILABLE],
            },
        ),
    )


def _decided(decision: Decision, after: Current) -> Response:
    serves = after.variants[DEFAULT_VARIANT].generation
    return respond(Decided(decision.what, decision.generation, serves))
