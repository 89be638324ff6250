"""Two tenants on one broker and one Redis, under load: neither sees anything of the other's."""

import contextlib
import random
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from confluent_kafka import Producer

from contracts.messages import Interaction, Quote, encode
from contracts.times import MINUTE_MS
from contracts.topics import ALL, QUOTES, STREAMED, Topic, dead_letters
from infra.local.process import Command, free_port
from runtime.kafka import broker as brokers
from runtime.kafka.broker import Admin
from runtime.kafka.config import KafkaConfig
from runtime.kafka.rights import RightsError, User, check_rights, rights
from runtime.topology import Topology
from tests.guarded import Guarded
from tests.integration.conftest import Pipeline
from tests.patience import PATIENCE_S, eventually

pytestmark = pytest.mark.slow

USERS_OF: Final[dict[str, User]] = {
    "operations.topics": "topics", "worker": "workers", "trainer": "trainer", "api": "api",
}  # fmt: skip
"""By the name of a process: each program logs in as a user with no more rights than it needs."""
PARTITIONS: Final = 2
INSTRUMENTS: Final = (1, 2, 3, 4, 5)
ITEMS: Final = tuple(range(1, 19))
USERS: Final = tuple(f"u{n}" for n in range(40))
BAD_RECORDS: Final = 7
LOAD_S: Final = 20
AT_ONCE: Final = 50


class Tenant(Pipeline):
    """The programs of a tenant, whose namespace and prefix nobody else has."""

    def __init__(
        self, name: str, broker: str, store_url: str, login: Guarded, folder: Path
    ) -> None:
        topology = Topology(**dict.fromkeys((topic.name for topic in STREAMED), PARTITIONS))
        super().__init__(broker, store_url, f"{name}-{uuid.uuid4().hex[:8]}", topology, folder)
        self.name = name
        self.kafka = KafkaConfig(bootstrap_servers=broker, prefix=f"{name}.")
        self.metrics_port = free_port()
        self.quotes: list[Quote] = []
        self.events: list[Interaction] = []
        self._login = login

    def command(self, name: str, *arguments: str, **settings: str | int) -> Command:
        """The command that starts a program as its user."""
        login = {k.lower(): v for k, v in self._login.environment(USERS_OF[name]).items()}
        return super().command(
            name, *arguments, kafka_prefix=self.kafka.prefix, **login, **settings
        )

    def _ends(self, topic: Topic) -> dict[int, int]:
        return brokers.log_ends(self.kafka, topic.name, PARTITIONS)

    @contextlib.contextmanager
    def running(self) -> Iterator["Tenant"]:
        """Run a worker and an API on fresh topics."""
        client = brokers.Admin(self.kafka)
        names = {self.kafka.topic(topic.name) for topic in ALL}
        brokers.delete(client, brokers.partitions_of(client).keys() & names)
        self._login.grant(self.namespace, self.kafka.prefix)
        options = [part for t in STREAMED for part in ("--partitions", f"{t.name}={PARTITIONS}")]
        self.run("operations.topics", *options)
        with self.worker(metrics_port=self.metrics_port), self.api() as address:
            self.client = httpx.Client(base_url=address, timeout=PATIENCE_S)
            with self.client:
                yield self

    def feed(self, seed: int, until_s: float) -> None:
        """Post quotes and events of its own, as fast as they are taken."""
        draw = random.Random(f"{seed}/{self.name}")
        while time.monotonic() < until_s:
            now_ms = time.time_ns() // 1_000_000
            quotes = [
                Quote(
                    instrument_id=draw.choice(INSTRUMENTS),
                    price=draw.randrange(1, 99) / 4,
                    ts=now_ms,
                )
                for _ in range(AT_ONCE)
            ]
            events = [
                Interaction(user_id=draw.choice(USERS), instrument_id=draw.choice(ITEMS), ts=now_ms)
                for _ in range(AT_ONCE)
            ]
            body = b",".join(_typed(message) for message in (*quotes, *events))
            json_type = {"Content-Type": "application/json"}
            answer = self.client.post("/v1/events", content=b"[%b]" % body, headers=json_type)
            assert answer.status_code == 202, answer.text
            self.quotes += quotes
            self.events += events

    def get(self, path: str) -> Any:
        """Return an answer's JSON."""
        return self.client.get(path).raise_for_status().json()


def _typed(message: Quote | Interaction) -> bytes:
    kind = b"quote" if isinstance(message, Quote) else b"interaction"
    return b'{"type":"' + kind + b'",' + encode(message)[1:]


def test_each_equals_its_own_recomputation(
    broker: str, guarded: Guarded, store_url: str, seed: int, tmp_path: Path
) -> None:
    with contextlib.ExitStack() as owned:
        tenants = []
        for name in ("fox", "owl"):
            (tmp_path / name).mkdir()
            tenant = Tenant(name, broker, store_url, guarded, tmp_path / name)
            tenants.append(owned.enter_context(tenant.running()))
        until_s = time.monotonic() + LOAD_S
        feeds = [threading.Thread(target=t.feed, args=(seed, until_s)) for t in tenants]
        for thread in feeds:
            thread.start()
        for thread in feeds:
            thread.join()
        for tenant in tenants:
            print(tenant.name, len(tenant.quotes), "quotes", len(tenant.events), "events")
            assert tenant.quotes
            tenant.wait_until_folded()
            assert_bars(tenant)
            assert_histories(tenant)
        fox, owl = tenants
        spoil(fox)
        assert letters(fox) == BAD_RECORDS
        assert letters(owl) == 0


def assert_bars(tenant: Tenant) -> None:
    """Assert that the API serves the bars of the tenant's own quotes."""
    for instrument in INSTRUMENTS:
        prices: dict[int, list[float]] = {}
        for quote in tenant.quotes:
            if quote.instrument_id == instrument:
                prices.setdefault(quote.ts // MINUTE_MS * MINUTE_MS, []).append(quote.price)
        answer = tenant.get(f"/v1/instruments/{instrument}/bars?limit=1000")
        found = {bar["t"]: (bar["h"], bar["l"], bar["n"]) for bar in answer["bars"]}
        assert found == {t: (max(some), min(some), len(some)) for t, some in prices.items()}


def assert_histories(tenant: Tenant) -> None:
    """Assert that each user has the items of the tenant's own events."""
    items: dict[str, set[int]] = {}
    for event in tenant.events:
        items.setdefault(event.user_id, set()).add(event.instrument_id)
    for user, expected in items.items():
        found = tenant.get(f"/v1/users/{user}/history")["items"]
        assert {item["instrument_id"] for item in found} == expected


def spoil(tenant: Tenant) -> None:
    """Publish records that break a rule, and wait until they are rejected."""
    producer = Producer(tenant.kafka.librdkafka())
    for _ in range(BAD_RECORDS):
        producer.produce(tenant.kafka.topic(QUOTES.name), b"neither", b"3")
    assert producer.flush(PATIENCE_S) == 0
    sample = f'records_rejected_total{{topic="{QUOTES.name}"}} {BAD_RECORDS}.0'
    url = f"http://127.0.0.1:{tenant.metrics_port}/metrics"
    eventually(lambda: sample in httpx.get(url).text.splitlines(), "all bad records rejected")
    eventually(lambda: letters(tenant) >= BAD_RECORDS, "all of them among the dead letters")


def letters(tenant: Tenant) -> int:
    """Return how many dead letters a tenant has."""
    return sum(brokers.log_ends(tenant.kafka, dead_letters(t).name, 1)[0] for t in STREAMED)


def test_a_tenants_user_may_do_nothing_with_the_others_topics(
    guarded: Guarded, namespace: str
) -> None:
    guarded.grant(namespace, "fox.")
    config = guarded.config("workers", prefix="owls.")
    with pytest.raises(RightsError, match=r"READ on topic owls\.quotes"):
        check_rights(Admin(config), config, rights(namespace)["workers"])
