"""Replaying the archive: its rows as the original records, in log order or by event time."""

import json
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contracts.archive import (
    ERASED,
    FEEDBACK_TABLE,
    INTERACTIONS_TABLE,
    QUOTES_TABLE,
    ArchiveTable,
    Column,
)
from contracts.feedback import decode_feedback
from contracts.messages import Interaction, Quote, encode
from contracts.times import DAY_MS
from producers import archive
from producers.archive import Name, archive_source
from producers.batch import Record
from producers.feed import MAX_SPEED
from producers.files import FileError
from runtime.archive.catalog import open_catalog
from runtime.archive.config import ArchiveConfig
from runtime.archive.tables import open_table
from tests.archive.samples import REQUEST_ID
from tests.archive.tables import Rows, rows_of

T0_MS = 1_629_000_000_000


def write(config: ArchiveConfig, table: ArchiveTable, rows: Rows) -> None:
    """Write rows in several commits, unordered."""
    found = open_table(open_catalog(config), config, table)
    mixed = random.Random(1).sample(rows, len(rows))
    for part in (mixed[::2], mixed[1::2]):
        found.append(rows_of(table, part))


def quote_rows() -> list[dict[str, Any]]:
    """Return rows of two partitions and days, event times against the log's order, two logs."""
    return [
        {
            "log": log,
            "partition": partition,
            "offset": offset,
            "instrument_id": offset % 3,
            "price": 1 + offset / 8,
            "size": float(offset % 2),
            "ts": (T0_MS + (40 - offset) * DAY_MS // 20 + partition + log) * 1000,
        }
        for log in (0, 1)
        for partition in (0, 1)
        for offset in range(40)
    ]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> ArchiveConfig:
    config = ArchiveConfig(warehouse=str(tmp_path_factory.mktemp("archive")))
    write(config, QUOTES_TABLE, quote_rows())
    ts = T0_MS * 1000
    event = {"user_id": "é", "event": "view", "instrument_id": 4, "ts": ts}
    trade = {"event": "trade", "price": 2.5, "quantity": 3.0}
    erased = {"user_id": "é", "event": ERASED, "ts": ts}
    events = [
        event,
        event | trade | {"offset": 1},
        erased | {"offset": 2, "last_event_before": ts + 1000},
        erased | {"offset": 3, "erased_at": ts + 2000},
    ]
    write(config, INTERACTIONS_TABLE, events)
    reaction = {"type": "click", "request_id": REQUEST_ID, "user_id": "u", "instrument_id": 4}
    write(config, FEEDBACK_TABLE, [reaction | {"position": 2, "ts": ts}])
    return config


def replay(
    config: ArchiveConfig,
    name: Name,
    span: tuple[int | None, int | None] = (None, None),
    speed: float = MAX_SPEED,
) -> list[tuple[int, Record]]:
    with archive_source(name, config, span, speed) as source:
        found = [
            pair
            for batch in source.batches
            for pair in zip(batch.ts_ms.tolist(), batch.records, strict=True)
        ]
        assert source.share_done() <= 1
    return found


def expected(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, Record]]:
    for row in rows:
        ts = row["ts"] // 1000
        quote = Quote(
            instrument_id=row["instrument_id"], price=row["price"], size=row["size"], ts=ts
        )
        yield ts, ("quotes", b"%d" % row["instrument_id"], encode(quote))


def test_at_full_speed_rows_are_in_log_order(config: ArchiveConfig) -> None:
    assert replay(config, "quotes") == list(expected(quote_rows()))


@pytest.mark.parametrize("is_added", [False, True])
def test_rows_from_before_a_later_column_are_records_without_it(
    config: ArchiveConfig, monkeypatch: pytest.MonkeyPatch, *, is_added: bool
) -> None:
    later = Column("levy", "double", is_required=False, is_later=True)
    table = replace(QUOTES_TABLE, columns=(*QUOTES_TABLE.columns, later))
    monkeypatch.setitem(archive._TABLES, "quotes", table)  # type: ignore[index]
    if is_added:
        open_table(open_catalog(config), config, table)
    assert replay(config, "quotes") == list(expected(quote_rows()))


def test_at_a_pace_rows_are_in_event_time_order(config: ArchiveConfig) -> None:
    in_time = sorted(quote_rows(), key=lambda row: row["ts"])
    assert replay(config, "quotes", speed=60) == list(expected(in_time))


def test_a_span_of_event_times_is_open_at_its_end(config: ArchiveConfig) -> None:
    start, end = T0_MS + DAY_MS // 2 + 1, T0_MS + DAY_MS + DAY_MS // 2
    inside = [row for row in quote_rows() if start <= row["ts"] // 1000 < end]
    edges = {start - 1, end} <= {row["ts"] // 1000 for row in quote_rows()}
    assert edges
    assert replay(config, "quotes", (start, end)) == list(expected(inside))


def test_removed_users_are_removed_again(config: ArchiveConfig) -> None:
    view, trade, *erased = (record for _, record in replay(config, "interactions"))
    event = {"user_id": "é", "instrument_id": 4, "ts": T0_MS}
    key = "é".encode()
    assert view == ("interactions", key, encode(Interaction(**event, event="view")))
    assert trade[:2] == ("interactions", key)
    traded = event | {"event": "trade", "price": 2.5, "quantity": 3}
    assert json.loads(trade[2] or b"") == traded
    assert erased == [
        ("interactions", key, None, [("last_event_before", b"%d" % (T0_MS + 1))]),
        ("interactions", key, None, [("erased_at", b"%d" % (T0_MS + 2))]),
    ]


def test_feedback_is_valid_to_its_readers(config: ArchiveConfig) -> None:
    ((_, (topic, key, value, *_)),) = replay(config, "feedback")
    assert (topic, key) == ("feedback", b"u")
    assert value is not None
    assert decode_feedback(value, T0_MS).position == 2


def test_an_archive_without_the_table_is_an_error(tmp_path: Path) -> None:
    empty = ArchiveConfig(warehouse=str(tmp_path))
    with (
        pytest.raises(FileError, match="the archive has no table quotes: run"),
        archive_source("quotes", empty, (None, None), math.inf),
    ):
        pass
