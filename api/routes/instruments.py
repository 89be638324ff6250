"""Bars and neighbors of an instrument."""

from fastapi import APIRouter, Request, Response

from api import examples
from api.answers import Bars, Similar
from api.openapi import answered, failed
from api.parameters import (
    DEFAULT_BARS,
    DEFAULT_ITEMS,
    BarInterval,
    End,
    Fill,
    InstrumentId,
    Limit,
    SimilarN,
)
from api.problems import UNKNOWN_INSTRUMENT
from api.routes.cases import READING, READING_LISTS
from api.services import ServicesDep

router = APIRouter(tags=["instruments"])

_NO_QUOTES = {UNKNOWN_INSTRUMENT: "Instrument 4 has no quotes"}
_NO_LIST = {UNKNOWN_INSTRUMENT: "Instrument 4 is not in the model: no interactions up to now"}


@router.get(
    "/v1/instruments/{instrument_id}/bars",
    summary="Bars, oldest first",
    responses={**answered(Bars, examples.BARS), **failed({**READING, **_NO_QUOTES})},
)
async def bars(
    request: Request,
    services: ServicesDep,
    instrument_id: InstrumentId,
    limit: Limit = DEFAULT_BARS,
    end: End = None,
    interval: BarInterval = "1m",
    fill: Fill = "none",
) -> Response:
    """Those of the `limit` buckets of `interval` that start before `end`.

    Buckets are aligned to the epoch (UTC), and whole: with `end` now, the last is the running one.
    A bucket without quotes has no bar, unless `fill=previous` repeats the close before it; before
    the window's first quote there is nothing to repeat. `closed` goes by the server's clock.
    """
    read = services.answering.bars(instrument_id, limit, end, interval, fill=fill == "previous")
    return await services.respond(request, read)


@router.get(
    "/v1/instruments/{instrument_id}/similar",
    summary="The most similar instruments",
    responses={**answered(Similar, examples.SIMILAR), **failed({**READING_LISTS, **_NO_LIST})},
)
async def similar(
    request: Request,
    services: ServicesDep,
    instrument_id: InstrumentId,
    n: SimilarN = DEFAULT_ITEMS,
) -> Response:
    """Instruments whose users are the same, most similar first: those with scores above 0."""
    return await services.respond(request, services.answering.similar(instrument_id, n))
