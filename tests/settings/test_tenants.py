"""Two tenants on one broker and one Redis, under load: neither sees anything of the other's."""

import contextlib
import random
import threading
import time
from pathlib import Path
from typing import Final

import pytest
from confluent_kafka import Producer

from contracts.messages import Interaction, Quote
from contracts.topics import QUOTES, STREAMED, dead_letters
from runtime.kafka.admin import Admin
from runtime.kafka.rights import RightsError, check_rights, rights
from tests.guarded import Guarded
from tests.integration.conftest import log_ends
from tests.patience import PATIENCE_S, eventually
from tests.settings.matrix import USERS as PROGRAMS
from tests.settings.rows import ALL, Given, Row, rows
from tests.settings.seen_answers import AFFINITIES, BARS, POPULAR, SIMILAR, until_equal
from tests.settings.seen_running import metrics_port
from tests.settings.stack import Servers, Stack
from tests.settings.world import INSTRUMENTS, ITEMS, USERS

pytestmark = pytest.mark.slow

BAD_RECORDS: Final = 7
LOAD_S: Final = 20
AT_ONCE: Final = 50


def tenant(name: str) -> list[Row]:
    """Return the settings of a tenant, whose namespace and prefix nobody else has."""
    settings = {
        "KAFKA_BOOTSTRAP_SERVERS": Given.SECURED,
        "KAFKA_PREFIX": f"{name}.",
        "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "KAFKA_SSL_CA_FILE": Given.AUTHORITY,
        "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
        "KAFKA_SASL_PASSWORD": Given.PASSWORD,
        "REDIS_URL": Given.NODE,
        "NAMESPACE": Given.FRESH,
    }
    of_some = {
        "METRICS_PORT": (("workers", "trainer"), Given.PORT),
        "COUNTS_FLUSH_INTERVAL_S": (("workers",), "0.2"),
        "FLUSH_INTERVAL_S": (("workers",), "0.2"),
        "TRAIN_EVERY_SECONDS": (("trainer",), "0.5"),
        "ITEM_MODEL": (("trainer",), "cosine"),
        "USER_MODEL": (("trainer",), "none"),
        "API_PORT": (("api",), Given.PORT),
    }
    return [
        *(row for setting, value in settings.items() for row in rows(setting, ALL, {value: name})),
        *(
            row
            for setting, (of, value) in of_some.items()
            for row in rows(setting, of, {value: name})
        ),
        *(row for of in PROGRAMS for row in rows("KAFKA_SASL_USERNAME", of, {of: name})),
    ]


def feed(stack: Stack, seed: int, until_s: float) -> None:
    """Post quotes and events of a tenant's own, as fast as they are taken."""
    draw = random.Random(f"{seed}/{stack.name}")
    while time.monotonic() < until_s:
        now_ms = time.time_ns() // 1_000_000
        quotes = [
            Quote(
                instrument_id=draw.choice(INSTRUMENTS), price=draw.randrange(1, 99) / 4, ts=now_ms
            )
            for _ in range(AT_ONCE)
        ]
        events = [
            Interaction(user_id=draw.choice(USERS), instrument_id=draw.choice(ITEMS), ts=now_ms)
            for _ in range(AT_ONCE)
        ]
        stack.post([*quotes, *events])


def test_each_equals_its_own_recomputation(
    broker: str, guarded: Guarded, store_url: str, cluster_url: str, tmp_path: Path
) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    servers = Servers(broker, store_url, cluster_url, guarded)
    with contextlib.ExitStack() as owned:
        tenants = []
        for name in ("fox", "owl"):
            (tmp_path / name).mkdir()
            made = Stack(name, tenant(name), servers, tmp_path / name)
            tenants.append(owned.enter_context(made.running()))
        until_s = time.monotonic() + LOAD_S
        feeds = [threading.Thread(target=feed, args=(t, seed, until_s)) for t in tenants]
        for thread in feeds:
            thread.start()
        for thread in feeds:
            thread.join()
        for stack in tenants:
            stack.wait_until_folded()
            for view in (BARS, AFFINITIES, POPULAR, SIMILAR):
                until_equal(stack, view)
            print(stack.name, len(stack.world.quotes), "quotes", len(stack.world.events), "events")
        fox, owl = tenants
        spoil(fox)
        assert letters(fox) == BAD_RECORDS
        assert letters(owl) == 0


def spoil(stack: Stack) -> None:
    """Publish records that break a rule, and wait until they are rejected."""
    producer = Producer(stack.kafka.librdkafka())
    for _ in range(BAD_RECORDS):
        producer.produce(stack.kafka.topic(QUOTES.name), b"neither", b"3")
    assert producer.flush(PATIENCE_S) == 0
    sample = f'records_rejected_total{{topic="{QUOTES.name}"}}'
    port = metrics_port(stack, "workers")
    eventually(lambda: stack.metric(port, sample) == BAD_RECORDS, "all bad records rejected")
    eventually(lambda: letters(stack) >= BAD_RECORDS, "all of them among the dead letters")


def letters(stack: Stack) -> int:
    """Return how many dead letters a tenant has."""
    return sum(log_ends(stack.kafka, dead_letters(topic).name, 1)[0] for topic in STREAMED)


def test_a_tenants_user_may_do_nothing_with_the_others_topics(
    guarded: Guarded, namespace: str
) -> None:
    guarded.grant(namespace, "fox.")
    config = guarded.config("workers", prefix="owls.")
    with pytest.raises(RightsError, match=r"READ on topic owls\.quotes"):
        check_rights(Admin(config), config, rights(namespace)["workers"])
