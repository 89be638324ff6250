"""The first version's paths, with its exact shapes."""

from fastapi import APIRouter, Depends, Response

from api import examples
from api.answers import LegacyAdded, LegacyBar, PredictedItems, respond
from api.bars import Window, legacy_bars, roll_up
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
from api.recommend import Wish
from api.routes.cases import READING, READING_LISTS, WRITING
from api.routes.instruments import no_list, no_quotes
from api.services import Services, ServicesDep
from api.writing import Body, require_key

router = APIRouter(tags=["first version"])

_MINUTES = 5
_ITEMS = 10


@router.get(
    "/instruments/{instrument_id}",
    summary="The last 5 minutes of an instrument",
    responses={
        **answered(dict[str, LegacyBar], examples.LEGACY_BARS),
        **failed({**READING, UNKNOWN_INSTRUMENT: "Instrument 4 has no quotes"}),
    },
)
async def instrument(services: ServicesDep, instrument_id: InstrumentId) -> Response:
    """Its bars by their minute (UTC), oldest first; the last is the running minute."""
    now_ms = services.now_ms()
    window = Window.before(now_ms, "1m", _MINUTES)
    async with services.store.reading() as reader:
        minutes = await reader.bars(instrument_id, window)
    if minutes is None:
        raise no_quotes(instrument_id)
    return respond(legacy_bars(instrument_id, roll_up(minutes, window, now_ms)))


@router.get(
    "/instruments/similar/{similar_to:path}",
    summary="10 instruments, similar to one or for a user",
    responses={
        **answered(PredictedItems, examples.PREDICTED),
        **failed({**READING_LISTS, UNKNOWN_INSTRUMENT: "Instrument 4 is not in the model"}),
    },
)
async def similar(services: ServicesDep, similar_to: SimilarTo) -> Response:
    """Digits only mean an instrument, whose 10 most similar come; anything else is a user."""
    try:
        if is_instrument(similar_to):
            items = await _similar(services, parse_instrument_id(similar_to))
        else:
            items = await _recommended(services, parse_user_id(similar_to))
    except ValueError as error:
        raise Problem(INVALID_REQUEST, f"similar_to: {error}") from None
    return respond(PredictedItems(items))


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


async def _similar(services: Services, instrument_id: int) -> list[str]:
    async with services.store.reading() as reader:
        found = await reader.similar(instrument_id)
    if found is None:
        raise no_list(instrument_id)
    return [neighbor.item for neighbor in found[1].items[:_ITEMS]]


async def _recommended(services: Services, user_id: str) -> list[str]:
    wish = Wish(_ITEMS, frozenset(), include_seen=False)
    async with services.store.reading() as reader:
        _, chosen = await reader.recommendations(user_id, wish)
    services.metrics.recommendations.labels(chosen.source).inc()
    return [str(item.instrument_id) for item in chosen.items]
