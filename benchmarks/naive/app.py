"""The baseline as an application: ordinary routes, dependencies and response models."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Final, cast

import redis.asyncio
from fastapi import Depends, FastAPI, HTTPException, Request, Response

from benchmarks.naive.answers import (
    Bar,
    Bars,
    LegacyBar,
    PredictedItems,
    Recommendations,
    Similar,
    SimilarInstrument,
    StoredBar,
    StoredSimilar,
)
from benchmarks.naive.reader import Reader
from contracts.generations import DEFAULT_VARIANT
from contracts.keyspace import Keyspace
from runtime.settings import SharedSettings
from runtime.topology import Topology

_ITEMS: Final = 10
_CONNECTIONS: Final = 10_000
"""redis-py's own bound of 100 would fail the 101st request at a time."""


def _reader(request: Request) -> Reader:
    reader: Reader = request.state.reader
    return reader


ReaderDep = Annotated[Reader, Depends(_reader)]


def create_app(settings: SharedSettings) -> FastAPI:
    """Return the application; it connects in its lifespan."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Reader]]:
        client = redis.asyncio.Redis.from_url(
            settings.redis_url, decode_responses=True, max_connections=_CONNECTIONS
        )
        keys = Keyspace(settings.namespace)
        async with client:
            partitions = cast("dict[str, str]", await client.hgetall(keys.topics()))
            yield {"reader": Reader(client, keys, Topology.from_hash(partitions))}

    app = FastAPI(lifespan=lifespan)
    app.get("/v1/instruments/{instrument_id}/bars")(bars)
    app.get("/v1/instruments/{instrument_id}/similar")(similar)
    app.get("/v1/users/{user_id}/recommendations")(recommendations)
    app.get("/instruments/{instrument_id}")(legacy_bars)
    app.get("/instruments/similar/{similar_to}")(legacy_similar)
    app.get("/plain/{user_id}")(plain)
    return app


async def bars(instrument_id: int, reader: ReaderDep) -> Bars:
    """The last five minutes."""
    now_ms = datetime.now(UTC).timestamp() * 1000
    found = [
        Bar(
            t=start_s * 1000,
            o=one.o,
            h=one.h,
            l=one.l,
            c=one.c,
            v=one.v,
            n=one.n,
            vw=min(max(one.pv / one.v, one.l), one.h) if one.v else None,
            closed=(start_s + 60) * 1000 <= now_ms,
        )
        for start_s, one in await _known(reader, instrument_id)
    ]
    return Bars(instrument_id=instrument_id, interval="1m", bars=found)


async def similar(instrument_id: int, reader: ReaderDep, n: int = _ITEMS) -> Similar:
    """The most similar instruments."""
    stored = await _listed(reader, instrument_id)
    return Similar(
        instrument_id=instrument_id,
        model=stored.model,
        variant=DEFAULT_VARIANT,
        generation=await reader.generation(),
        items=[
            SimilarInstrument(instrument_id=int(one.item), score=one.score, support=one.support)
            for one in stored.items[:n]
            if one.score > 0
        ],
    )


async def recommendations(
    user_id: str, reader: ReaderDep, n: int = _ITEMS, exclude: str = ""
) -> Recommendations:
    """Instruments for a user."""
    excluded = set(exclude.split(",")) if exclude else set()
    chosen = await reader.recommendations(user_id, n, excluded)
    return Recommendations(
        user_id=user_id,
        source=chosen.source,
        model=chosen.model,
        variant=DEFAULT_VARIANT,
        generation=await reader.generation(),
        items=chosen.items,
    )


async def legacy_bars(instrument_id: int, reader: ReaderDep) -> dict[str, LegacyBar]:
    """The last five minutes in the first version's names."""
    return {
        f"{datetime.fromtimestamp(start_s, UTC):%Y-%m-%d %H:%M:%S}": LegacyBar(
            instrid=instrument_id,
            price_close=one.c,
            price_high=one.h,
            price_low=one.l,
            price_open=one.o,
        )
        for start_s, one in await _known(reader, instrument_id)
    }


async def legacy_similar(similar_to: str, reader: ReaderDep) -> PredictedItems:
    """Ten instruments, similar to one or for a user."""
    if similar_to.isdigit():
        stored = await _listed(reader, int(similar_to))
        return PredictedItems(
            predicted_items=[one.item for one in stored.items[:_ITEMS] if one.score > 0]
        )
    chosen = await reader.recommendations(similar_to, _ITEMS, set())
    return PredictedItems(predicted_items=[str(one.instrument_id) for one in chosen.items])


async def plain(user_id: str, reader: ReaderDep) -> Response:
    """One key as it is stored: the least that an answer from Redis can cost here."""
    stored = await reader.own_list(user_id)
    if stored is None:
        raise HTTPException(404)
    return Response(stored, media_type="application/json")


async def _known(reader: Reader, instrument_id: int) -> list[tuple[int, StoredBar]]:
    found = await reader.bars(instrument_id)
    if found is None:
        raise HTTPException(404, f"Instrument {instrument_id} has no quotes")
    return found


async def _listed(reader: Reader, instrument_id: int) -> StoredSimilar:
    stored = await reader.similar(instrument_id)
    if stored is None:
        raise HTTPException(404, f"Instrument {instrument_id} is not in the model")
    return stored
