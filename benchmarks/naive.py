"""The baseline of `reads`: `python -m benchmarks.naive`, FastAPI and redis-py by the book.

Ordinary routes, dependencies and response models; one round trip where one is enough, and pydantic
to parse it. One thing makes it faster than a first draft would be: the pointer to what is served is
read once a second, not for each answer.
"""

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final, cast

import redis.asyncio
import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from pydantic import BaseModel

from contracts.generations import DEFAULT_VARIANT
from contracts.keyspace import NEWEST_FIELD, Keyspace
from contracts.partitioning import instrument_partition
from runtime.settings import SharedSettings
from runtime.topology import Topology

_ITEMS: Final = 10
_MINUTES: Final = 5
_POINTER_FOR_S: Final = 1.0
_CONNECTIONS: Final = 10_000
"""redis-py's own bound of 100 would fail the 101st request at a time."""


class StoredBar(BaseModel):
    """A minute bar as it stands in Redis."""

    o: float
    h: float
    l: float  # noqa: E741 (the field's letter)
    c: float
    v: float
    n: int
    pv: float


class StoredNeighbor(BaseModel):
    """An item of a list of neighbors."""

    item: str
    score: float
    support: float


class StoredSimilar(BaseModel):
    """The neighbors of an item."""

    model: str
    items: list[StoredNeighbor]


class Generation(BaseModel):
    """What a variant serves."""

    generation: str = ""


class StoredCurrent(BaseModel):
    """The pointer to what is served."""

    variants: dict[str, Generation]


class Bar(BaseModel):
    """A minute bar."""

    t: int
    o: float
    h: float
    l: float  # noqa: E741 (the field's letter)
    c: float
    v: float
    n: int
    vw: float | None
    closed: bool


class Bars(BaseModel):
    """Bars of an instrument."""

    instrument_id: int
    interval: str
    bars: list[Bar]


class SimilarInstrument(BaseModel):
    """A neighbor."""

    instrument_id: int
    score: float
    support: float


class Similar(BaseModel):
    """The most similar instruments."""

    instrument_id: int
    model: str
    variant: str
    generation: str
    items: list[SimilarInstrument]


class Reader:
    """Reads one namespace."""

    def __init__(self, client: redis.asyncio.Redis, keys: Keyspace, topology: Topology) -> None:
        self._client = client
        self._keys = keys
        self._topology = topology
        self._generation = ""
        self._fresh_until_s = 0.0

    async def generation(self) -> str:
        """Return the name of the generation that is served, as of at most a second ago."""
        if time.monotonic() > self._fresh_until_s:
            stored = await self._client.get(self._keys.model_current())
            current = StoredCurrent.model_validate_json(cast("str", stored))
            self._generation = current.variants[DEFAULT_VARIANT].generation
            self._fresh_until_s = time.monotonic() + _POINTER_FOR_S
        return self._generation

    async def bars(self, instrument_id: int) -> list[tuple[int, StoredBar]] | None:
        """Return the bars of the last five minutes by their start, s; None if it is unknown."""
        partition = instrument_partition(instrument_id, self._topology.quotes)
        last = int(time.time()) // 60 * 60
        minutes = [last - 60 * back for back in reversed(range(_MINUTES))]
        fields = [NEWEST_FIELD, *map(str, minutes)]
        reading: Any = self._client.hmget(self._keys.bars(partition, instrument_id), fields)
        newest, *values = await reading
        if newest is None:
            return None
        found = zip(minutes, values, strict=True)
        return [(minute, StoredBar.model_validate_json(value)) for minute, value in found if value]

    async def similar(self, instrument_id: int) -> StoredSimilar | None:
        """Return the neighbors of an instrument, None if it has none."""
        key = self._keys.model_similar(await self.generation(), str(instrument_id))
        value = await self._client.get(key)
        return None if value is None else StoredSimilar.model_validate_json(value)

    async def own_list(self, user_id: str) -> str | None:
        """Return a user's own list as it is stored: a plain GET of one key."""
        key = self._keys.model_user(await self.generation(), user_id)
        return cast("str | None", await self._client.get(key))


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
            reading: Any = client.hgetall(keys.topics())
            yield {"reader": Reader(client, keys, Topology.from_hash(await reading))}

    app = FastAPI(lifespan=lifespan)
    app.get("/v1/instruments/{instrument_id}/bars")(bars)
    app.get("/v1/instruments/{instrument_id}/similar")(similar)
    app.get("/plain/{user_id}")(plain)
    return app


async def bars(instrument_id: int, reader: ReaderDep) -> Bars:
    """The last five minutes."""
    stored = await reader.bars(instrument_id)
    if stored is None:
        raise HTTPException(404, f"Instrument {instrument_id} has no quotes")
    now_ms = time.time() * 1000
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
        for start_s, one in stored
    ]
    return Bars(instrument_id=instrument_id, interval="1m", bars=found)


async def similar(instrument_id: int, reader: ReaderDep, n: int = _ITEMS) -> Similar:
    """The most similar instruments."""
    stored = await reader.similar(instrument_id)
    if stored is None:
        raise HTTPException(404, f"Instrument {instrument_id} is not in the model")
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


async def plain(user_id: str, reader: ReaderDep) -> Response:
    """One key as it is stored: the least that an answer from Redis can cost here."""
    stored = await reader.own_list(user_id)
    if stored is None:
        raise HTTPException(404)
    return Response(stored, media_type="application/json")


def main() -> None:
    """Serve at `API_HOST` and `API_PORT` until SIGTERM: one process, uvicorn at its fastest."""
    uvicorn.run(
        create_app(SharedSettings()),
        host=os.environ["API_HOST"],
        port=int(os.environ["API_PORT"]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
