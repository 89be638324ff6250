"""Settings that are seen in how often, and for how long, the programs do something."""

import time
from collections.abc import Callable
from typing import Final

from contracts.messages import Interaction, Quote
from contracts.topics import COOCCURRENCES, INTERACTIONS
from infra.local.process import free_port, start, stop
from tests.patience import eventually
from tests.settings.rows import Row, disturbing
from tests.settings.seen_running import metrics_port
from tests.settings.stack import PARTITIONS, Stack
from tests.settings.world import INSTRUMENTS

WATCHED_S: Final = 3


def trained_every(stack: Stack, row: Row) -> None:
    """Runs come as often as the setting says."""
    every_s = stack.settings("trainer").train_every_seconds
    port = metrics_port(stack, "trainer")

    def runs() -> float:
        return stack.metric(port, "trainer_runs_total")

    time.sleep(min(every_s, 3))  # long enough for what must not happen
    if every_s < 10:
        eventually(lambda: runs() > 5, "six runs")
    n = runs()
    at_most = (time.monotonic() - stack.started_s["trainer"]) / every_s + 1
    # One that found nothing is followed by others soon.
    if not stack.metric(port, 'trainer_runs_total{outcome="empty"}'):
        assert 1 <= n <= at_most


def gives_up_after(stack: Stack, row: Row) -> None:
    """Without a broker the producer waits for so long, says so, and ends with 1."""
    timeout_s = stack.settings("producers").delivery_timeout_s
    environment = stack.environments["producers"] | {
        "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}"
    }
    arguments = ("producers", "replay", "quotes", str(stack.folder / "quotes.csv"))
    began = time.monotonic()
    if timeout_s < 10:
        said = stack.run(*arguments, environment=environment, code=1)
        assert f"for {timeout_s:g} s" in said
        assert time.monotonic() >= began + timeout_s
        return
    command = stack.command("waiting", *arguments, environment=environment)
    process = start(command)
    time.sleep(5)  # long enough for what must not happen
    assert process.poll() is None
    stop((process, command))


def bars_written_every(stack: Stack, row: Row) -> None:
    """A partition's bars are written as often as the setting says."""

    def publish() -> None:
        ts = time.time_ns() // 1_000_000
        stack.post([Quote(instrument_id=i, price=7.5, size=1, ts=ts) for i in INSTRUMENTS])

    _written_every(stack, row, "quotes", publish)


@disturbing
def counts_written_every(stack: Stack, row: Row) -> None:
    """A partition's counts are written as often as the setting says."""
    known = len(stack.world.events)

    def publish() -> None:
        user = f"late{len(stack.world.events) - known}"
        ts = time.time_ns() // 1_000_000
        stack.post([Interaction(user_id=user, instrument_id=i, ts=ts) for i in (1, 2, 3, 4)])

    _written_every(stack, row, "cooccurrences", publish)
    # Counts that are half written would be refused by the trainer of the next check.
    stack.wait_until_folded((INTERACTIONS, COOCCURRENCES))


def _written_every(stack: Stack, row: Row, topic: str, publish: Callable[[], None]) -> None:
    interval_s = float(getattr(stack.settings("workers"), row.setting.lower()))
    port = metrics_port(stack, "workers")
    sample = f'flush_seconds_count{{topic="{topic}"}}'

    def writes_at_most(interval_s: float, elapsed_s: float) -> float:
        return PARTITIONS * (elapsed_s / interval_s + 1)

    def in_time() -> bool:
        began = time.monotonic()
        before = stack.metric(port, sample)
        while time.monotonic() < began + WATCHED_S:
            publish()
            time.sleep(0.05)
        writes = stack.metric(port, sample) - before
        elapsed_s = time.monotonic() - began
        assert writes <= writes_at_most(interval_s, elapsed_s) + 1
        # An interval of three times as much would not do; of a long one few writes are watched.
        return interval_s > 1 or writes > writes_at_most(3 * interval_s, elapsed_s)

    eventually(in_time, f"{topic} written every {interval_s} s")
