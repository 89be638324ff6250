"""`python -m producers` as users start it: what is published, its output, and its exit code."""

import json
import signal
import subprocess
from pathlib import Path
from threading import Event

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import NewTopic
from typer.testing import CliRunner

from contracts.batches import decode_quotes
from contracts.partitioning import partition_of
from contracts.times import MINUTE_MS
from contracts.topics import INSTRUMENTS, INTERACTIONS, QUOTES
from infra.local.process import free_port, running
from infra.local.tansu import tansu
from producers.__main__ import app
from runtime.kafka.broker import Admin, create
from runtime.kafka.config import plain
from runtime.topology import Topology
from tests.patience import PATIENCE_S

from .conftest import ReadAll, Start, records_at

FAR_FUTURE_MS = 2**41


def ended(child: subprocess.Popen[str]) -> tuple[int, list[dict[str, object]], str]:
    """Wait for the end; return the exit code, each log line's fields, and all of standard error."""
    _, errors = child.communicate(timeout=PATIENCE_S)
    lines = (json.loads(line) for line in errors.splitlines() if line.startswith("{"))
    return child.returncode, [line.get("tickrec", {}) for line in lines], errors


def await_line(child: subprocess.Popen[str], event: str) -> None:
    assert child.stderr is not None
    for line in child.stderr:
        if event in line:
            return
    raise AssertionError(f"the program ended without logging {event!r}")


def test_a_file_is_published_whole_in_the_keys_partitions_and_in_order(
    start: Start, topology: Topology, read_all: ReadAll, tmp_path: Path
) -> None:
    path = tmp_path / "quotes.csv"
    rows = [(1_700_000_000_000 + 20_001 * i, i % 7, f"{1 + i / 1000:.3f}") for i in range(12_000)]
    text = "\n".join(f"{ts},{instrument},{price}" for ts, instrument, price in rows)
    path.write_text(f"ts_ms,instrument_id,price\n{text}\n")
    code, lines, _ = ended(start("replay", "quotes", str(path), "--speed", "max"))
    assert code == 0
    newest = rows[-1][0] // MINUTE_MS
    older = sum(ts // MINUTE_MS <= newest - 1_440 for ts, *_ in rows)
    assert 0 < older == lines[-1]["older"] < lines[-1]["delivered"] == len(rows)
    records = read_all("quotes", len(rows))
    assert all(m.partition() == partition_of(m.key(), topology.quotes) for m in records)
    for instrument in range(7):
        own = [m.value() for m in records if m.key() == b"%d" % instrument]
        quotes, rejections = decode_quotes(own, FAR_FUTURE_MS)
        assert not rejections
        expected = [(ts, float(price)) for ts, i, price in rows if i == instrument]
        prices = quotes.columns["price"].tolist()
        assert list(zip(quotes.ts_ms.tolist(), prices, strict=True)) == expected


@pytest.mark.slow
def test_a_broker_that_goes_away_makes_it_fail_with_the_count_of_what_was_lost(
    start: Start, tmp_path: Path
) -> None:
    server = tansu(free_port(), tmp_path)
    with running(server) as process:
        create(
            Admin(plain(server.address)),
            [NewTopic(topic.name, 2, 1) for topic in (INSTRUMENTS, QUOTES, INTERACTIONS)],
        )
        child = start(
            "simulate",
            "--backfill-minutes=1",
            KAFKA_BOOTSTRAP_SERVERS=server.address,
            DELIVERY_TIMEOUT_S="3",
        )
        await_line(child, "simulating")
        assert records_at(server.address, "quotes", 1)
        process.kill()
        code, lines, errors = ended(child)
    assert code == 1
    assert lines[-1]["failed"]
    assert "record not delivered" in errors


def test_a_signal_ends_an_endless_run_with_everything_delivered(
    start: Start, topology: Topology, read_all: ReadAll
) -> None:
    child = start("simulate", "--users=50", "--backfill-minutes=1")
    await_line(child, "simulating")
    read_all("quotes", 500)
    child.send_signal(signal.SIGTERM)
    code, lines, _ = ended(child)
    assert code == 0
    assert lines[-1]["failed"] == 0
    delivered = lines[-1]["delivered"]
    arrived = sum(
        len(read_all(topic, count))
        for topic, count in (("instruments", 500), ("quotes", 500), ("interactions", 1))
    )
    assert arrived == delivered


def test_other_records_at_the_end_do_not_restart_a_simulation(
    broker: str, topology: Topology, read_all: ReadAll, monkeypatch: pytest.MonkeyPatch
) -> None:
    # They would be those of all tests of this process.
    monkeypatch.setattr("producers.run.stop_on_signals", Event)
    monkeypatch.setattr("producers.run.configure_logs", lambda *_: None)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", broker)
    rates = ("--instruments=1", "--users=10", "--rate=30", "--event-rate=0")
    arguments = ("simulate", *rates, "--backfill-minutes=1", "--duration=0")
    assert CliRunner().invoke(app, arguments).exit_code == 0
    (partition,) = {m.partition() for m in read_all("quotes", 60 * 30)}
    producer = Producer({"bootstrap.servers": broker})
    others = (b"", b"no JSON", b'{"ts": "soon"}', b'{"ts": 1629061628123}')
    for value in others:
        producer.produce("quotes", value, b"0", partition=partition)
    producer.flush()

    assert CliRunner().invoke(app, arguments).exit_code == 0

    assert len(read_all("quotes", 60 * 30 + len(others))) < 2 * 60 * 30


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("simulate --instruments 0", "--instruments"),
        ("replay quotes x.csv --speed 5", "speed '5' is neither a factor"),
        ("replay quotes", "name a file, or say --from-archive"),
        ("replay quotes x.csv --from-archive", "either x.csv or --from-archive"),
        ("replay quotes x.csv --start 1", "--start and --end go with --from-archive"),
        ("replay feedback", "replayed from the archive only"),
        ("replay quotes --from-archive --end now", "neither epoch ms nor RFC 3339"),
        ("replay quotes --from-archive --end 2021-08-15T00:00:00", "has no zone"),
    ],
)
def test_a_wrong_or_contradictory_option_is_refused(arguments: str, complaint: str) -> None:
    refused = CliRunner().invoke(app, arguments.split())
    assert refused.exit_code == 2
    assert complaint in " ".join(refused.output.split())
