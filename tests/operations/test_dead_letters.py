"""Invalid records can be listed, corrected and republished."""

import json
from pathlib import Path

import pytest
from confluent_kafka import Producer

from contracts.partitioning import partition_of
from contracts.topics import INSTRUMENTS, INTERACTIONS, QUOTES
from infra.local.process import free_port
from operations import republish
from operations.dead_letters import DeadLetter, lines, read
from runtime.kafka import broker as brokers
from runtime.kafka.config import plain
from tests.kafka_log import records_of
from tests.operations.conftest import TopicsCommand
from tests.patience import PATIENCE_S, eventually

PARTITIONS = 2
BAD_QUOTE = b'{"instrument_id":4,\n "price":0,"ts":1629061628123}'
GOOD_LINE = b'{"topic":"quotes","value":{"instrument_id":4,"price":1,"ts":1}}'
REASON = "price: must be a number of at least 1e-18, got -1"


def reject(
    broker: str,
    value: bytes | None,
    *,
    topic: str = "quotes",
    offset: int,
    key: bytes | None = b"4",
) -> None:
    """Put a record into the dead letters, as a worker does."""
    producer = Producer({"bootstrap.servers": broker})
    headers = {"reason": REASON, "topic": topic, "partition": "1", "offset": str(offset)}
    producer.produce(f"{topic}.dead-letters", value, key, headers=headers)
    assert producer.flush(PATIENCE_S) == 0


def records(broker: str, topic: str) -> list[tuple[int, bytes, bytes]]:
    found = records_of(plain(broker), topic)
    return [(record.partition(), record.key(), record.value()) for record in found]


def letters(broker: str, limit: int | None = None) -> list[DeadLetter]:
    return read(brokers.Admin(plain(broker)), plain(broker), QUOTES, limit)


def listed(topics_command: TopicsCommand, *arguments: str) -> str:
    """Return what the list says, once the broker answers for topics that it has just made."""
    said: list[str] = []

    def is_answered() -> bool:
        done = topics_command("dead-letters", *arguments)
        said.append(done.stdout)
        return done.exit_code == 0

    eventually(is_answered, "the dead letters are listed")
    return said[-1]


@pytest.mark.usefixtures("topology")
def test_the_table_says_where_a_record_stood_and_what_was_wrong_with_it(
    broker: str, topics_command: TopicsCommand
) -> None:
    reject(broker, BAD_QUOTE, offset=41)
    reject(broker, b"\x1b[2J\xff", offset=42, key=None)
    header, first, second = listed(topics_command).splitlines()
    assert header.split() == ["rejected", "at", "(UTC)", "record", "key", "reason", "value"]
    assert "quotes/1@41" in first
    assert REASON in first
    assert '{"instrument_id":4,"price":0,' in first
    assert "quotes/1@42" in second
    assert r"none" in second
    assert r"\x1b[2J\xff" in second


LINES: list[tuple[bytes | None, dict[str, object]]] = [
    (BAD_QUOTE, {"value": {"instrument_id": 4, "price": 0, "ts": 1629061628123}}),
    (b"not JSON", {"value": "not JSON"}),
    (b"[1]", {"value": "[1]"}),
    (b"null", {"value": "null"}),
    (b'{"x":' + b"[" * 5_000, {"value": '{"x":' + "[" * 5_000}),
    (b"\xff\xfe", {"value_base64": "//4="}),
    (None, {}),
]
"""Values of dead letters, and what their lines have of them."""


@pytest.mark.usefixtures("topology")
def test_a_line_has_the_value_as_it_can_be_edited(broker: str) -> None:
    for offset, (value, _) in enumerate(LINES):
        reject(broker, value, offset=offset)
    found = [json.loads(line) for line in lines(letters(broker))]
    assert all(letter.pop("rejected_at") for letter in found)
    place = {"topic": "quotes", "partition": 1, "reason": REASON, "key": "4"}
    assert found == [{**place, "offset": n, **line} for n, (_, line) in enumerate(LINES)]


@pytest.mark.usefixtures("topology")
def test_a_letter_that_was_published_twice_is_listed_once(broker: str) -> None:
    for value, offset in ((BAD_QUOTE, 41), (BAD_QUOTE, 41), (b"of a recreated topic", 41)):
        reject(broker, value, offset=offset)
    assert len(letters(broker)) == 2


@pytest.mark.usefixtures("topology")
def test_foreign_records_among_the_dead_letters_are_named(
    broker: str, topics_command: TopicsCommand
) -> None:
    producer = Producer({"bootstrap.servers": broker})
    producer.produce("quotes.dead-letters", b"x")
    assert producer.flush(PATIENCE_S) == 0
    done = topics_command("dead-letters", "quotes")
    assert done.exit_code == 1
    assert "quotes.dead-letters@0 has no header offset, partition, reason, topic" in done.stderr


@pytest.mark.usefixtures("topology")
def test_corrected_lines_are_published_to_where_they_belong_whatever_their_key_was(
    broker: str, tmp_path: Path, topics_command: TopicsCommand
) -> None:
    reject(broker, BAD_QUOTE, offset=41, key=b"a wrong key")
    reject(broker, b"not JSON", topic="interactions", offset=7)
    reject(broker, b'{"instrument_id":4,"symbol":"A B","name":"A"}', topic="instruments", offset=9)
    corrected = [json.loads(line) for line in listed(topics_command, "--json").splitlines()]
    event = '{"user_id":"ABC","instrument_id":4,"ts":1629061628123}'
    corrected[0]["value"]["price"] = 30.72
    corrected[1]["value"] = event
    corrected[2]["value"]["symbol"] = "A.B"
    file = tmp_path / "corrected.jsonl"
    file.write_text("\n\n".join(map(json.dumps, corrected)))

    done = topics_command("republish", str(file))

    assert done.stdout == (
        "1 published to quotes\n1 published to interactions\n1 published to instruments\n"
    )
    ((partition, key, value),) = records(broker, QUOTES.name)
    assert (partition, key) == (partition_of(b"4", PARTITIONS), b"4")
    assert json.loads(value) == {"instrument_id": 4, "price": 30.72, "ts": 1629061628123}
    assert records(broker, INTERACTIONS.name) == [
        (partition_of(b"ABC", PARTITIONS), b"ABC", event.encode())
    ]
    ((partition, key, value),) = records(broker, INSTRUMENTS.name)
    assert (partition, key) == (partition_of(b"4", PARTITIONS), b"4")
    assert json.loads(value) == {"instrument_id": 4, "symbol": "A.B", "name": "A"}


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (b'{"topic":"quotes","value":{"instrument_id":4,"price":0,"ts":1}}', "price: must be"),
        (b'{"topic":"quotes","value":null}', "it has no value"),
        (b'{"topic":"quotes","value_base64":"//4="}', "malformed"),
        (b'{"topic":"cooccurrences","value":{}}', "takes no corrections"),
        (b'{"value":{}}', "topic"),
        (b"{", "truncated"),
        (b"\xff", "malformed"),
    ],
)
def test_an_invalid_line_is_named(bad: bytes, says: str) -> None:
    with pytest.raises(republish.RepublishError, match=f"^line 2: .*{says}.*\nnothing was"):
        republish.read([GOOD_LINE, bad, GOOD_LINE])


def test_records_the_broker_did_not_accept_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(republish, "_TAKEN_WITHIN_S", 0.2)
    corrected = republish.read([GOOD_LINE, b"", GOOD_LINE])
    with pytest.raises(republish.RepublishError, match=r"2 of 2 records.*others.*: 1, 3$"):
        republish.publish(plain(f"127.0.0.1:{free_port()}"), corrected)
