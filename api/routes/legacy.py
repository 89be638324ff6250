"""The first version's paths, with its exact shapes."""

from fastapi import APIRouter, Depends, Request, Response

from api import examples
from api.answers import LegacyAdded, LegacyBar, PredictedItems, respond
from api.events import parse_legacy
from api.openapi import answered, failed, legacy_body
from api.parameters import (
    InstrumentId,
    SimilarTo,
    is_instrument,
    parse_instrument_id,
    parse_user_id,
)
from api.problems import INVALID_REQUEST, UNKNOWN_INSTRUMENT, Problem
from api.routes.cases import READING, READING_LISTS, WRITING
from api.services import ServicesDep
from api.writing import Body, require_key

router = APIRouter(tags=["first version"])


@router.get(
    "/instruments/{instrument_id}",
    summary="The last 5 minutes of an instrument",
    responses={
        **answered(dict[str, LegacyBar], examples.LEGACY_BARS),
        **failed({**READING, UNKNOWN_INSTRUMENT: "Instrument 4 has no quotes"}),
    },
)
async def instrument(
    request: Request, services: ServicesDep, instrument_id: InstrumentId
) -> Response:
    """Its bars by their minute (UTC), oldest first; the last is the running minute."""
    return await services.respond(request, services.answering.legacy_bars(instrument_id))


@router.get(
    "/instruments/similar/{similar_to:path}",
    summary="10 instruments, similar to one or for a user",
    responses={
        **answered(PredictedItems, examples.PREDICTED),
        **failed({**READING_LISTS, UNKNOWN_INSTRUMENT: "Instrument 4 is not in the model"}),
    },
)
async def similar(request: Request, services: ServicesDep, similar_to: SimilarTo) -> Response:
    """Digits only mean an instrument, whose 10 most similar come; anything else is a user."""
    try:
        if is_instrument(similar_to):
            read = services.answering.legacy_similar(parse_instrument_id(similar_to))
        else:
            read = services.answering.legacy_recommendations(parse_user_id(similar_to))
    except ValueError as error:
        raise Problem(INVALID_REQUEST, f"similar_to: {error}") from None
    return await services.respond(request, read)


@router.post(
    "/add/request",
    summary="Publish a trade",
    dependencies=[Depends(require_key)],
    responses={**answered(LegacyAdded, examples.LEGACY_ADDED), **failed(WRITING)},
    openapi_extra=legacy_body(),
)
async def add_request(services: ServicesDep, body: Body) -> Response:
    """Its price as a quote and the trade as an interaction; answered once Kafka has both."""
    event, quote, interaction = parse_legacy(body, services.now_ms())
    await services.publisher.publish([quote, interaction])
    return respond(LegacyAdded(event))
