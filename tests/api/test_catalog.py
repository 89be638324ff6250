"""The copy of the catalog follows Redis, and the endpoints answer from it."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from urllib.parse import quote

import pytest

from api.http.metrics import Metrics
from api.instruments.catalog import Catalog
from api.instruments.refresh import CatalogRefresh
from api.redis import following as copies
from api.redis.store import Store, StoreUnavailableError
from contracts.bars import BarValue
from contracts.partitioning import instrument_partition
from tests.patience import PATIENCE_S, until_true

from .asking import answers
from .conftest import RUNNING_S, TOPOLOGY, Filled, Serve

AGE_S = 1.0
"""More than a copy is old that is refreshed often."""
EVERY_S = 0.01
Following = Callable[[], contextlib.AbstractAsyncContextManager[Catalog]]


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.app.CATALOG_REFRESH_S", EVERY_S)


@pytest.fixture
def following(store_url: str, filled: Filled) -> Following:
    """Have a copy of the catalog follow it, for as long as an `async with` block lasts."""

    @contextlib.asynccontextmanager
    async def following() -> AsyncIterator[Catalog]:
        metrics = Metrics()
        store = Store(store_url, filled.keys.namespace, metrics.store_errors)
        catalog = Catalog()
        its = CatalogRefresh(store, catalog, metrics.registry, EVERY_S)
        async with store.connecting(), its.following():
            yield catalog

    return following


@until_true
async def eventually(is_so: Callable[[], Awaitable[bool] | bool]) -> None:
    found = is_so()
    assert found if isinstance(found, bool) else await found


async def test_changes_of_entries_that_can_be_read_are_seen_and_that_a_store_lost_everything(
    filled: Filled, following: Following, caplog: pytest.LogCaptureFixture
) -> None:
    filled.instrument(4, "OLD")
    filled.instrument(6, "GONE")
    partition = instrument_partition(4, TOPOLOGY.instruments)
    filled.store.hset(filled.keys.catalog(partition), "5", "nonsense")
    async with following() as catalog:
        assert sorted(catalog.instruments()) == [4, 6]
        assert "is skipped" in caplog.text
        filled.instrument(4, "NEW")
        filled.take_out(6)
        await eventually(lambda: catalog.resolve("new") == 4 and catalog.resolve("gone") is None)
        for key in filled.store.scan_iter(f"{filled.keys.namespace}:*{{n*"):
            filled.store.delete(key)
        await eventually(lambda: len(catalog) == 0)


async def test_while_redis_is_away_the_catalog_stays_and_its_age_grows(
    serve: Serve, filled: Filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled.instrument(4, "AAPL", "Apple Inc.")
    async with serve() as client:

        def away(*_: object) -> None:
            raise StoreUnavailableError("away")

        async def is_old() -> bool:
            return age_in((await client.get("/metrics")).text) > AGE_S

        assert not await is_old()
        monkeypatch.setattr(CatalogRefresh, "_read_positions", away)
        answer = await client.get("/v1/instruments?search=apple")
        assert [item["symbol"] for item in answer.json()["items"]] == ["AAPL"]
        await eventually(is_old)


def age_in(metrics: str) -> float:
    (line,) = (x for x in metrics.splitlines() if x.startswith("api_catalog_age_seconds "))
    return float(line.split()[1])


@pytest.mark.parametrize(
    "path",
    [
        "/v1/instruments",
        "/v1/instruments/4",
        "/v1/instruments/AAPL/bars",
        "/v1/instruments/4/similar?filter=lot:ge:1",
        "/v1/instruments/4/similar?category=tech",
        "/v1/users/ABC/recommendations?boost=lot:ge:1:2",
        "/v1/users/ABC/recommendations",
        "/v1/trending?exclude_category=tech",
        "/v1/movers?filter=lot:ge:1",
    ],
)
async def test_before_the_catalog_is_read_what_needs_it_is_unavailable(
    filled: Filled,
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    path: str,
) -> None:
    read = CatalogRefresh._read_positions

    def away(*_: object) -> None:
        raise StoreUnavailableError("away")

    filled.generation("g1", {"4": [("5", 0.5, 1.0)]})
    filled.instrument(4, "AAPL", attributes={"lot": 1})
    monkeypatch.setattr(CatalogRefresh, "_read_positions", away)
    async with serve() as client:
        answer = await client.get(path)
        assert answer.status_code == 503, answer.text
        assert answer.headers["Retry-After"] == "1"
        said = "The catalog could not be read from Redis yet: try again in a second"
        assert answer.json()["detail"] == said
        monkeypatch.setattr(CatalogRefresh, "_read_positions", read)
        await answers(client, "/v1/instruments/AAPL")
        assert (await client.get(path)).status_code != 503
    assert "movers: keeping" not in caplog.text


@pytest.mark.parametrize("symbol", ["AAPL", "BTC/USD", "a/similar/b", "x/y/z"])
async def test_a_symbol_even_one_with_slashes_stands_for_its_instrument(
    filled: Filled, serve: Serve, symbol: str
) -> None:
    filled.instrument(4, symbol)
    encoded, escaped = quote(symbol, safe=""), "".join(f"%{ord(one):02X}" for one in symbol)
    filled.bars(4, {RUNNING_S: BarValue(1, 2, 0.5, 1.5, 3, 4, 5, 0, 1, (0, 0))})
    filled.generation("g1", {"4": [("5", 0.5, 1.0)]})
    async with serve() as client:
        texts = (encoded, encoded.lower(), escaped, "4")
        for text, rest in itertools.product(texts, ("", "/bars", "/similar")):
            answer = await client.get(f"/v1/instruments/{text}{rest}")
            assert answer.json()["instrument_id"] == 4, answer.text


async def test_an_instrument_has_its_newest_quote(filled: Filled, serve: Serve) -> None:
    filled.instrument(
        4, "AAPL", "Apple Inc.", categories=("tech",), attributes={"lot": 1, "a": "b"}
    )
    filled.instrument(5, "B")
    old = BarValue(1, 2, 0.5, 1.25, 3, 4, 5, 0, 1, (0, 0))
    newest = BarValue(1, 2, 0.5, 1.5, 3, 4, 5, 0, 1_629_061_650_123, (0, 0))
    filled.bars(4, {RUNNING_S - 60: old, RUNNING_S: newest})
    async with serve() as client:
        answer = await client.get("/v1/instruments/4")
        assert answer.json() == {
            "instrument_id": 4,
            "symbol": "AAPL",
            "name": "Apple Inc.",
            "categories": ["tech"],
            "listed": True,
            "attributes": {"lot": 1, "a": "b"},
            "quote": {"price": 1.5, "ts": 1_629_061_650_123},
        }
        assert (await client.get("/v1/instruments/5")).json()["quote"] is None
        unknown = await client.get("/v1/instruments/6")
        assert unknown.status_code == 404
        assert unknown.json()["detail"] == "Instrument 6 is not in the catalog"


async def test_instruments_are_found_page_by_page(filled: Filled, serve: Serve) -> None:
    for i in range(25):
        name = "Apple" if i % 2 else "Pear"
        filled.instrument(i, f"S{i:02}", name, attributes={"lot": i}, listed=i < 24)
    async with serve() as client:

        async def pages(**query: object) -> list[list[int]]:
            found, token = [], ""
            while token is not None and len(found) <= 25:
                params = {**query, "page_token": token}
                answer = (await client.get("/v1/instruments", params=params)).json()
                found.append([item["instrument_id"] for item in answer["items"]])
                token = answer["next_page_token"]
            return found

        assert await pages(n=20) == [[*range(20)], [*range(20, 25)]]
        assert await pages(n=25) == [[*range(25)]]
        wished = {"search": "APP", "filter": "lot:ge:21"}
        assert await pages(n=1, listed="true", **wished) == [[21], [23]]
        assert await pages(listed="false", **wished) == [[]]


@pytest.mark.parametrize(
    ("error", "said"),
    [(StoreUnavailableError("away"), []), (ValueError("no price"), ["ValueError: no price"])],
)
async def test_a_copy_that_could_not_be_read_is_read_again(
    error: Exception, said: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    outcomes: Iterator[Exception | None] = iter([error, None, error])
    read_again = asyncio.Event()

    async def refresh() -> None:
        outcome = next(outcomes, None)
        if outcome is not None:
            raise outcome
        read_again.set()

    async with copies.following("prices", refresh, lambda: 0.0):
        async with asyncio.timeout(PATIENCE_S):
            await read_again.wait()
    assert "prices" not in {task.get_name() for task in asyncio.all_tasks()}
    logged = [record for record in caplog.records if record.exc_info]
    assert [f"{type(r.exc_info[1]).__name__}: {r.exc_info[1]}" for r in logged][:1] == said
    assert all(record.getMessage().startswith("prices: ") for record in logged)
