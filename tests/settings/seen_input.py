"""What is refused of input, as each program shows it that takes some."""

import time
from typing import Any

import msgspec
from confluent_kafka import Producer

from contracts.partitioning import LIBRDKAFKA_PARTITIONER
from contracts.times import DAY_MS
from contracts.topics import QUOTES
from tests.patience import PATIENCE_S, eventually
from tests.settings.rows import Row
from tests.settings.seen_running import metrics_port
from tests.settings.stack import Stack
from tests.settings.world import GONE

IN_2000_MS = 946_684_800_000
IN_SECONDS = 1_629_061_628
"""Of 2021, and in January 1970 as milliseconds."""
QUOTE = {"instrument_id": 3, "price": 7.5, "size": 1, "ts": IN_2000_MS}
"""Older than what is retained: a reader that takes it counts it as late, and no bar changes."""


def early_refused(stack: Stack, row: Row) -> None:
    """An event time in seconds is refused, unless the setting allows for 1970."""
    is_refused = stack.settings(row.programs[0]).earliest_event_date.year > 1970
    quote = QUOTE | {"ts": IN_SECONDS}
    if row.programs == ("producers",):
        lines = f"ts_ms,instrument_id,price\n{IN_SECONDS},3,7.5\n"
        _of_a_file(stack, "quotes", lines, "EARLIEST_EVENT_DATE" if is_refused else None)
    elif row.programs == ("api",):
        _over_http(stack, {"type": "quote", **quote}, is_refused=is_refused)
    else:
        _on_the_topic(stack, quote, "records_rejected_total" if is_refused else "late_quotes_total")


def type_taken(stack: Stack, row: Row) -> None:
    """An event of a type that has a weight is taken, one of another type is refused."""
    program = row.programs[0]
    is_refused = "purchase" not in stack.settings(program).weights_of_types()
    # So old that its user is taken out again at once.
    ts_ms = time.time_ns() // 1_000_000 - 800 * DAY_MS
    if program == "api":
        event = {"user_id": GONE[0], "instrument_id": 3, "event": "purchase", "ts": ts_ms}
        answer = _over_http(stack, {"type": "interaction", **event}, is_refused=is_refused)
        assert ("(EVENT_WEIGHTS)" in answer) == is_refused
        return
    lines = f"ts_ms,user_id,instrument_id,event\n{ts_ms},{GONE[0]},3,purchase\n"
    _of_a_file(stack, "interactions", lines, "EVENT_WEIGHTS" if is_refused else None)


def unknown_field_refused(stack: Stack, row: Row) -> None:
    """A quote with a misspelt field is taken without it and counted, or refused."""
    is_refused = stack.settings(row.programs[0]).unknown_fields == "refuse"
    quote = QUOTE | {"qty": 2}
    counted = "records_rejected_total" if is_refused else "records_with_unknown_fields_total"
    _on_the_topic(stack, quote, counted)


def _over_http(stack: Stack, event: dict[str, Any], *, is_refused: bool) -> str:
    answer = stack.client.post("/v1/events", json=event, headers=stack.keyed)
    assert answer.status_code == (422 if is_refused else 202), answer.text
    return answer.text


def _on_the_topic(stack: Stack, quote: dict[str, Any], counter: str) -> None:
    port = metrics_port(stack, "workers")
    before = stack.metric(port, counter)
    producer = Producer({**stack.kafka.librdkafka(), "partitioner": LIBRDKAFKA_PARTITIONER})
    producer.produce(stack.kafka.topic(QUOTES.name), msgspec.json.encode(quote), b"3")
    assert producer.flush(PATIENCE_S) == 0
    eventually(lambda: stack.metric(port, counter) > before, f"{counter} above {before}")


def _of_a_file(stack: Stack, kind: str, lines: str, refused_by: str | None) -> None:
    file = stack.folder / f"{kind}.csv"
    file.write_text(lines)
    said = stack.run(
        *("producers", "replay", kind, str(file), "--speed", "max"),
        environment=stack.environments["producers"],
        code=1 if refused_by else 0,
    )
    assert refused_by is None or refused_by in said
