"""An application per test, on the real store, and helpers that fill the store.

Applications of the tests' own process wait `PATIENCE_S` for Redis and clients, and for Kafka where
there is one: on a busy machine none of them may be late. A test of a bound sets it itself.
"""

import contextlib
import functools
import uuid
import warnings
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import pytest
from redis import Redis
from starlette.types import Receive, Scope, Send

from api.app import create_app
from api.bars import calendars
from api.bars.trading_hours import Calendar
from api.events import producer
from api.generations.request_ids import Signer
from api.health import kafka_check
from api.http.metrics import Metrics
from api.live import reading as channels
from api.redis import store as stores
from api.redis.store import Store
from api.settings import ApiSettings
from contracts.affinities import HistoryEntry
from contracts.bars import BarValue
from contracts.fold_in import FoldIn
from contracts.generations import (
    Current,
    Neighbor,
    Popular,
    PopularList,
    Recommendation,
    Served,
    SimilarList,
    UserList,
)
from contracts.instruments import CatalogEntry
from contracts.keyspace import NEWEST_FIELD, NEXT_FIELD, OFFSET_FIELD, Keyspace
from contracts.partitioning import instrument_partition, user_partition
from contracts.topics import INSTRUMENTS
from contracts.trending import PAGES, Bucket
from infra.local.process import Server, free_port
from infra.local.store import valkey
from runtime.kafka.config import plain
from runtime.redis.stores import connect
from runtime.topology import Topology
from tests.api.described import described_by
from tests.api.patient import BEHIND, OF_CLIENTS, OF_SUBSCRIPTIONS
from tests.patience import PATIENCE_S

if TYPE_CHECKING:
    from .streaming import Worker

NOW_MS = 1_629_061_651_000
"""2021-08-15 21:07:31 UTC: the clock of the applications under test."""
RUNNING_S = NOW_MS // 60_000 * 60
"""The minute that is running then, epoch s."""
THIS_HOUR = Bucket(3600, NOW_MS // 3_600_000 * 3600)
TOPOLOGY = Topology(quotes=3, interactions=5, cooccurrences=2)

ALL_ALIKE = FoldIn()
"""Folds in all items, whatever their age."""

QUOTE: dict[str, Any] = {
    "type": "quote",
    "instrument_id": 4,
    "price": 30.72,
    "size": 100,
    "ts": 1629061628123,
}
TRADE: dict[str, Any] = {
    "type": "interaction",
    "user_id": "ABC",
    "instrument_id": 4,
    "ts": 1629061628123,
}
LEGACY = {"userid": "ABC", "price": "10.273", "timestamp": "1629061628", "instrid": 4}

AS_JSON = {"Content-Type": "application/json"}
"""What all that is written here is said to be, even where it is none."""

KAFKA_AWAY_S = 0.1
"""How long is waited for a Kafka that will never answer."""

Serve = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture
def calendars_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Load calendars of exchanges in this process, once: the child that does it imports pandas."""

    async def load(names: Collection[str]) -> dict[str, Calendar | str]:
        with warnings.catch_warnings(action="ignore"):  # of its versions of pandas
            return {name: _calendar(name) for name in names}

    monkeypatch.setattr(calendars, "load", load)


_calendar = functools.cache(calendars.calendar)


@dataclass(frozen=True)
class Filled:
    """A namespace of the store, filled as the other programs fill it."""

    store: Redis
    keys: Keyspace

    def topology(self) -> None:
        self.store.hset(self.keys.topics(), mapping=TOPOLOGY.as_hash())

    def bars(self, instrument_id: int, bars: Mapping[int, BarValue]) -> None:
        """Write bars by their minute in epoch seconds."""
        key = self.keys.bars(instrument_partition(instrument_id, TOPOLOGY.quotes), instrument_id)
        fields = {str(minute): msgspec.json.encode(bar) for minute, bar in bars.items()}
        self.store.hset(key, mapping={**fields, NEWEST_FIELD: max(bars)})

    def instrument(self, instrument_id: int, symbol: str, name: str = "Name", **rest: Any) -> None:
        """Describe an instrument of the catalog."""
        entry = CatalogEntry(
            instrument_id=instrument_id, symbol=symbol, name=name, off=(0, 0), **rest
        )
        partition = instrument_partition(instrument_id, TOPOLOGY.instruments)
        encoded = msgspec.json.encode(entry)
        self.store.hset(self.keys.catalog(partition), str(instrument_id), encoded)
        self.store.hincrby(self.keys.position(INSTRUMENTS, partition), NEXT_FIELD, 1)

    def take_out(self, instrument_id: int) -> None:
        """Take an instrument out of the catalog."""
        partition = instrument_partition(instrument_id, TOPOLOGY.instruments)
        self.store.hdel(self.keys.catalog(partition), str(instrument_id))
        self.store.hincrby(self.keys.position(INSTRUMENTS, partition), NEXT_FIELD, 1)

    def history(self, user_id: str, items: Mapping[str, tuple[float, int]], off: int) -> None:
        """Write affinity and last event time of items."""
        key = self.keys.history(user_partition(user_id, TOPOLOGY.interactions), user_id)
        fields = {item: msgspec.json.encode(HistoryEntry(r, t)) for item, (r, t) in items.items()}
        self.store.hset(key, mapping={**fields, OFFSET_FIELD: msgspec.json.encode((0, off))})

    def generation(
        self,
        name: str,
        similar: Mapping[str, Sequence[tuple[str, float, float]]],
        popular: Sequence[tuple[str, float]] = (),
    ) -> None:
        """Write a generation's lists, and point to it."""
        for item, neighbors in similar.items():
            found = SimilarList("cosine", [Neighbor(*neighbor) for neighbor in neighbors])
            self._put(self.keys.model_similar(name, item), found)
        everyone = PopularList("popular", [Popular(item, score, score) for item, score in popular])
        self._put(self.keys.model_popular(name), everyone)
        self.point_to(name)

    def user_list(
        self, name: str, user_id: str, off: int, items: Sequence[tuple[str, float, list[str]]]
    ) -> None:
        own = UserList("user-knn", (0, off), [Recommendation(*item) for item in items])
        self._put(self.keys.model_user(name, user_id), own)

    def events(
        self, events: Mapping[int, int], bucket: Bucket, partition: int = 0, offset: int = 9
    ) -> None:
        """Count the events of items in a bucket, as workers do."""
        for item, n in events.items():
            key = self.keys.trending(partition, *bucket, item % PAGES)
            self.store.hset(key, mapping={str(item): n, OFFSET_FIELD: f"[0,{offset}]"})

    def signer(self) -> Signer:
        """Return a signer as the applications of this namespace have it."""
        key = "of-tests"
        self.store.set(self.keys.request_id_key(), key)
        return Signer(key.encode())

    def point_to(self, name: str, fold_in: FoldIn = ALL_ALIKE) -> None:
        self.serve(Current(1, {"default": Served(name, "cosine", "user-knn", fold_in)}))

    def serve(self, current: Current) -> None:
        """Write what is served."""
        self._put(self.keys.model_current(), current)

    def serve_nothing(self) -> None:
        """Be as before the first model."""
        self.store.delete(self.keys.model_current())

    def _put(self, key: str, value: msgspec.Struct) -> None:
        self.store.set(key, msgspec.json.encode(value))


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this process wait for Redis and for clients as long as they take."""
    for module, bound in (*BEHIND, *OF_CLIENTS):
        monkeypatch.setattr(module, bound, PATIENCE_S)
    for option, wait_s in OF_SUBSCRIPTIONS.items():
        monkeypatch.setitem(channels._OF_SUBSCRIPTIONS, option, wait_s)


@contextlib.contextmanager
def read_deadline(seconds: float) -> Iterator[None]:
    """Have reads end after so long, for the block."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stores, "READ_DEADLINE_S", seconds)
        yield


@pytest.fixture
def filled(store_url: str) -> Iterator[Filled]:
    """A fresh namespace that knows its topics, and nothing else."""
    with connect(store_url, "tests") as store:
        assert isinstance(store, Redis)
        filled = Filled(store, Keyspace(f"test-{uuid.uuid4().hex[:12]}"))
        filled.topology()
        yield filled


@pytest.fixture
def raw(store_url: str) -> Iterator[Redis]:
    """A client of the store that decodes nothing."""
    with Redis.from_url(store_url) as client:
        yield client


@pytest.fixture
async def store(store_url: str, namespace: str) -> AsyncIterator[Store]:
    """The API's own client, connected."""
    store = Store(store_url, namespace, Metrics().store_errors)
    async with store.connecting():
        yield store


@pytest.fixture
def where(store_url: str, filled: Filled) -> dict[str, Any]:
    """The settings with which an application reads the filled namespace."""
    return {"redis_url": store_url, "namespace": filled.keys.namespace}


@pytest.fixture
async def workers(where: dict[str, Any]) -> AsyncIterator["Worker"]:
    """All workers of quotes, which write bars to the filled namespace."""
    from .streaming import worker  # which imports this module

    async with worker(**where) as its:
        yield its


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch, where: dict[str, Any]) -> Serve:
    """Serve an application in this process, for as long as an `async with` block lasts.

    It reads the filled namespace, unless `redis_url` names another store. Without `kafka` nothing
    listens at its Kafka address; without `archive` there is none.
    """

    @contextlib.asynccontextmanager
    async def serving(**settings: Any) -> AsyncIterator[httpx.AsyncClient]:
        wait_s = PATIENCE_S if "kafka" in settings else KAFKA_AWAY_S
        monkeypatch.setattr(producer, "DELIVERY_TIMEOUT_MS", round(wait_s * 1000))
        monkeypatch.setattr(kafka_check, "_METADATA_TIMEOUT_S", wait_s)
        settings = ({} if "redis_url" in settings else where) | settings
        settings.setdefault("kafka", plain(f"127.0.0.1:{free_port()}"))
        archive = settings.pop("archive", None)
        app = create_app(ApiSettings(**settings), lambda: NOW_MS, archive)
        async with app.router.lifespan_context(app) as state:

            async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
                await app({**scope, "state": dict(state or {})}, receive, send)

            # As in a server, an exception that no handler catches is answered 500, and logged.
            transport = httpx.ASGITransport(with_state, raise_app_exceptions=False)
            async with httpx.AsyncClient(
                transport=transport,
                base_url="http://localhost",
                headers=AS_JSON,
                event_hooks={"response": [described_by(app)]},
            ) as client:
                yield client

    return serving


@pytest.fixture
async def client(serve: Serve) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application on the filled namespace; nothing listens at its Kafka address."""
    async with serve() as client:
        yield client


@pytest.fixture
async def writing(serve: Serve, broker: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application that has Kafka."""
    async with serve(kafka=plain(broker)) as client:
        yield client


@pytest.fixture
def lists(filled: Filled) -> None:
    """Serve the lists of two items, and three popular ones."""
    filled.generation(
        "g1",
        similar={
            "1": [("2", 0.9, 5.0), ("3", 0.4, 2.0)],
            "2": [("1", 0.9, 5.0), ("3", 0.8, 4.0), ("4", 0.1, 1.0)],
        },
        popular=[("2", 9.0), ("1", 8.0), ("9", 7.0)],
    )


@pytest.fixture
def furnished(filled: Filled) -> Filled:
    """A namespace with something for each example of the OpenAPI document."""
    bars = {
        RUNNING_S - 60 * age: BarValue(1.5, 9, 0.5, 2, 3, 4, 5.25, 0, 1, (0, 1))
        for age in (0, 1, 3, 60, 2000)
    }
    for item in (4, 5):
        filled.bars(item, bars)
    attributes = {"currency": "USD", "lot": 10}
    filled.instrument(4, "AAPL", "Apple", categories=("tech",), attributes=attributes)
    filled.instrument(5, "FIVE", "Five", attributes={"currency": "USD"})
    filled.history("ABC", {"4": (1, 5), "6": (2.5, 7)}, off=7)
    similar = {"4": [("5", 0.5, 9.0), ("7", 0.25, 8.0)]}
    filled.generation("g1", similar, popular=[("7", 3), ("8", 2)])
    filled.user_list("g1", "ABC", off=7, items=[("5", 0.5, ["4"])])
    filled.events({4: 5}, THIS_HOUR)
    return filled


@pytest.fixture
def own_store(tmp_path: Path) -> Server:
    """A store of this test alone, not running yet."""
    return valkey(free_port(), tmp_path)
