"""Settings of the worker that are seen in what it keeps, in how it writes, and in its group."""

import time
from typing import Any, Final

import httpx
import pytest
from confluent_kafka import Producer

from contracts.keyspace import CLOSED_FIELD
from contracts.messages import Interaction, Quote, key_of
from contracts.partitioning import LIBRDKAFKA_PARTITIONER, instrument_partition, user_partition
from contracts.times import DAY_S
from contracts.topics import COOCCURRENCES, INTERACTIONS, QUOTES
from runtime.kafka import broker as brokers
from tests.integration.conftest import kill
from tests.patience import PATIENCE_S, eventually
from tests.settings.rows import Row, disturbing
from tests.settings.seen_answers import AFFINITIES, SIMILAR, difference
from tests.settings.seen_publication import train
from tests.settings.seen_running import metrics_port
from tests.settings.stack import PARTITIONS, Stack
from tests.settings.world import DAY_MS, INSTRUMENTS, long_ago

LOOKED_EVERY_S: Final = 60
"""How often the workers look for users who have been away."""
BAD_RECORDS: Final = 3_000
"""More than the latest 1,000 of a partition, of which the share is looked at."""


def bars_expire(stack: Stack, row: Row) -> None:
    """What an instrument has in Redis ends so many days after its last new minute."""
    kept_s = stack.settings("workers").bars_expire_days * DAY_S
    for instrument in {quote.instrument_id for quote in stack.world.quotes}:
        partition = instrument_partition(instrument, PARTITIONS)
        left_s = stack.store.ttl(stack.keyspace.bars(partition, instrument))
        assert kept_s - DAY_S / 4 < left_s <= kept_s


@disturbing
def bars_closed_after(stack: Stack, row: Row) -> None:
    """The newest minute that is closed ended so long before the newest quote."""
    late_by_s = stack.settings("workers").bars_close_after_seconds
    ts_ms = time.time_ns() // 1_000_000
    stack.post([Quote(instrument_id=i, price=7.5, size=1, ts=ts_ms) for i in INSTRUMENTS])
    stack.wait_until_folded([QUOTES])
    for partition in {instrument_partition(i, PARTITIONS) for i in INSTRUMENTS}:
        closed_s = stack.store.hget(stack.keyspace.position(QUOTES, partition), CLOSED_FIELD)
        assert int(closed_s) == (int(ts_ms / 1000 - late_by_s) // 60 - 1) * 60


@disturbing
def away_taken_out(stack: Stack, row: Row) -> None:
    """Users are taken out whose last event is so long before their partition's newest one."""
    stack.post(long_ago(stack.world.now_ms))
    stack.wait_until_folded((INTERACTIONS, COOCCURRENCES))
    _equal(stack)
    kept_ms = stack.settings("workers").history_retention_days * DAY_MS
    latest: dict[str, int] = {}
    newest: dict[int, int] = {}
    for event in stack.world.events:
        partition = user_partition(event.user_id, PARTITIONS)
        latest[event.user_id] = max(event.ts, latest.get(event.user_id, 0))
        newest[partition] = max(event.ts, newest.get(partition, 0))
    leaving = {
        user
        for user, ts in latest.items()
        if ts < newest[user_partition(user, PARTITIONS)] - kept_ms
    }

    def gone() -> bool:
        # Who is away is looked for when something is written.
        ts = time.time_ns() // 1_000_000
        stack.post([Interaction(user_id=f"busy{n}", instrument_id=1, ts=ts) for n in range(4)])
        time.sleep(0.5)
        return all(stack.get(f"/v1/users/{user}/history") is None for user in leaving)

    began = time.monotonic()
    eventually(gone, f"{leaving} gone", within_s=3 * LOOKED_EVERY_S)
    if not leaving:
        eventually(
            lambda: gone() and time.monotonic() > began + LOOKED_EVERY_S + 5,
            "nobody gone", within_s=3 * LOOKED_EVERY_S,
        )  # fmt: skip
    stack.taken_out |= leaving
    stack.wait_until_folded((INTERACTIONS, COOCCURRENCES))
    _equal(stack)


def _equal(stack: Stack) -> None:
    """Fail unless histories are as they must be, and the counts as lists tell of them."""
    train(stack)
    for view in (AFFINITIES, SIMILAR):
        assert difference(view.ask(stack), view.expect(stack, {})) is None


@disturbing
def static_member(stack: Stack, row: Row) -> None:
    """The group knows the worker by its name, and keeps its place while it is started again."""
    name = stack.settings("workers").group_instance_id
    assert [member.group_instance_id for member in _members(stack)] == [name]
    stack.stop("workers")
    kept = [name] if name else []
    eventually(
        lambda: [member.group_instance_id for member in _members(stack)] == kept,
        f"members of the group: {kept}",
        within_s=stack.settings("workers").session_timeout_s / 2,
    )
    _start_again(stack)


@disturbing
def silent_given_up_after(stack: Stack, row: Row) -> None:
    """A worker that was killed stays a member for so long, and a new one goes on."""
    session_s = stack.settings("workers").session_timeout_s
    process, _ = stack.processes.pop("workers")
    kill(process)
    began = time.monotonic()
    eventually(lambda: not _members(stack), "the silent worker given up")
    elapsed_s = time.monotonic() - began
    of_others = [r.value for r in stack.matrix if r.setting == row.setting and r.value]
    longer = [s for s in (10.0, *map(float, map(str, of_others))) if s > session_s]
    # Its last sign of life may have been a heartbeat's interval ago.
    assert session_s / 2 < elapsed_s < min(longer, default=90)
    _start_again(stack)


def _start_again(stack: Stack) -> None:
    """Start the worker, and wait until it goes on."""
    stack.start("workers")
    stack.post([_now(3)])
    stack.wait_until_folded()


def _members(stack: Stack) -> list[Any]:
    client = brokers.admin(stack.kafka)
    if brokers.is_tansu(client):
        pytest.skip("Tansu describes no groups")
    group = stack.kafka.topic(stack.keyspace.consumer_group())
    described = client.describe_consumer_groups([group])[group].result(30)
    return list(described.members)


@disturbing
def bad_feed_stopped(stack: Stack, row: Row) -> None:
    """A partition of which too much is bad stops and says so; the others go on."""
    share = stack.settings("workers").dead_letter_ratio_max
    instrument = 3
    bad = Quote(instrument_id=instrument, price=1, ts=0)
    producer = Producer(
        {
            **stack.kafka.librdkafka(),
            "partitioner": LIBRDKAFKA_PARTITIONER,
        }
    )
    quotes = stack.kafka.topic(QUOTES.name)
    for _ in range(BAD_RECORDS):
        producer.produce(quotes, b'{"instrument_id":3,"price":-1,"ts":1}', key_of(bad))
    assert producer.flush(PATIENCE_S) == 0
    port = metrics_port(stack, "workers")
    partition = instrument_partition(instrument, PARTITIONS)
    if share == 1:
        sample = f'records_rejected_total{{topic="{QUOTES.name}"}}'
        eventually(lambda: stack.metric(port, sample) == BAD_RECORDS, "all bad records rejected")
        assert httpx.get(f"http://127.0.0.1:{port}/health/ready").json()["progress"] == "ok"
        stack.post([_now(instrument)])
        stack.wait_until_folded((QUOTES,))
        return

    def stopped() -> bool:
        return httpx.get(f"http://127.0.0.1:{port}/health/ready").json()["progress"] == "stopped"

    eventually(stopped, "the partition stopped")
    health = httpx.get(f"http://127.0.0.1:{port}/health").json()["partitions"]
    states = {name: its["state"] for name, its in health.items()}
    assert [name for name, state in states.items() if state == "stopped"] == [f"quotes/{partition}"]
    assert f"DEAD_LETTER_RATIO_MAX={share:g}" in health[f"quotes/{partition}"]["why"]
    other = next(i for i in range(1, 6) if instrument_partition(i, PARTITIONS) != partition)
    quote = _now(other)
    stack.post([quote])
    path = f"/v1/instruments/{other}/bars"
    eventually(lambda: stack.get(path)["bars"][-1]["c"] == quote.price, "other bars go on")


def _now(instrument: int) -> Quote:
    return Quote(instrument_id=instrument, price=77.25, size=1, ts=time.time_ns() // 1_000_000)
