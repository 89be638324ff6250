"""Bars and neighbors of an instrument."""

from fastapi import APIRouter, Response

from api import examples
from api.answers import Bars, Similar, respond
from api.bars import Window, fill_previous, roll_up
from api.openapi import answered, failed
from api.parameters import BarInterval, End, Fill, InstrumentId, Limit, SimilarN
from api.problems import UNKNOWN_INSTRUMENT, Problem
from api.recommend import similar_items
from api.routes.cases import READING, READING_LISTS
from api.services import ServicesDep

router = APIRouter(tags=["instruments"])

_NO_QUOTES = {UNKNOWN_INSTRUMENT: "Instrument 4 has no quotes"}
_NO_LIST = {UNKNOWN_INSTRUMENT: "Instrument 4 is not in the model: no interactions up to now"}


def no_quotes(instrument_id: int) -> Problem:
    """Return the problem of an instrument that no quote was seen of."""
    return Problem(UNKNOWN_INSTRUMENT, f"Instrument {instrument_id} has no quotes")


def no_list(instrument_id: int) -> Problem:
    """Return the problem of an instrument that the model does not know."""
    detail = f"Instrument {instrument_id} is not in the model: no interactions up to now"
    return Problem(UNKNOWN_INSTRUMENT, detail)


@router.get(
    "/v1/instruments/{instrument_id}/bars",
    summary="Bars, oldest first",
    responses={**answered(Bars, examples.BARS), **failed({**READING, **_NO_QUOTES})},
)
async def bars(
    services: ServicesDep,
    instrument_id: InstrumentId,
    limit: Limit = 5,
    end: End = None,
    interval: BarInterval = "1m",
    fill: Fill = "none",
) -> Response:
    """Those of the `limit` buckets of `interval` that start before `end`.

    Buckets are aligned to the epoch (UTC), and whole: with `end` now, the last is the running one.
    A bucket without quotes has no bar, unless `fill=previous` repeats the close before it; before
    the window's first quote there is nothing to repeat. `closed` goes by the server's clock.
    """
    now_ms = services.now_ms()
    window = Window.before(now_ms if end is None else end, interval, limit)
    async with services.store.reading() as reader:
        minutes = await reader.bars(instrument_id, window)
    if minutes is None:
        raise no_quotes(instrument_id)
    found = roll_up(minutes, window, now_ms)
    if fill == "previous":
        found = fill_previous(found, window, now_ms)
    return respond(Bars(instrument_id, interval, found))


@router.get(
    "/v1/instruments/{instrument_id}/similar",
    summary="The most similar instruments",
    responses={**answered(Similar, examples.SIMILAR), **failed({**READING_LISTS, **_NO_LIST})},
)
async def similar(services: ServicesDep, instrument_id: InstrumentId, n: SimilarN = 10) -> Response:
    """Instruments whose users are the same, most similar first; empty if it shares none."""
    async with services.store.reading() as reader:
        found = await reader.similar(instrument_id)
    if found is None:
        raise no_list(instrument_id)
    generation, neighbors = found
    return respond(
        Similar(
            instrument_id,
            neighbors.model,
            generation.variant,
            generation.name,
            similar_items(neighbors, n),
        )
    )
