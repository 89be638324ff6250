"""A check finds what is wrong with an archive, and says what, in how many rows, and in which.

Great Expectations takes seconds to import: only the tests that need it do.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from contracts.archive import (
    BARS_TABLE,
    ERASED,
    FEEDBACK_TABLE,
    INTERACTIONS_TABLE,
    QUOTES_TABLE,
    TABLES,
    ArchiveTable,
)
from runtime.archive.catalog import ArchiveError, open_catalog
from runtime.archive.config import ArchiveConfig
from tests.archive.tables import TODAY_US, Tables

if TYPE_CHECKING:
    from runtime.archive.quality.checking import Checked

if find_spec("great_expectations") is None:
    pytest.skip("the extra quality is not installed", allow_module_level=True)

US_PER_S = 1_000_000
EVENT: dict[str, Any] = {"user_id": "ABC", "instrument_id": 4, "event": "view", "ts": TODAY_US}
QUOTE: dict[str, Any] = {"instrument_id": 4, "price": 30.72, "size": 0.0, "ts": TODAY_US}
GOOD: dict[ArchiveTable, list[dict[str, Any]]] = {
    QUOTES_TABLE: [QUOTE, QUOTE | {"instrument_id": 0, "size": 1e18}],
    INTERACTIONS_TABLE: [
        EVENT | {"price": 10.5, "quantity": 2.0},
        EVENT | {"user_id": "u" * 128},
        {"user_id": "ABC", "event": ERASED, "ts": TODAY_US + US_PER_S},
    ],
    FEEDBACK_TABLE: [
        EVENT | {"type": "click", "request_id": "default.1.history.x", "position": 1000}
    ],
    BARS_TABLE: [
        {"instrument_id": 4, "minute": TODAY_US, "open": 2.0, "high": 3.0, "low": 1.0, "close": 3.0,
         "volume": 0.0, "count": 1, "notional": 0.0, "open_ts": TODAY_US, "close_ts": TODAY_US}
    ],
}  # fmt: skip


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    """Those of a catalog that has none yet."""
    config = ArchiveConfig(warehouse=str(tmp_path / "warehouse"))
    return Tables(open_catalog(config), config)


def check(tables: Tables, *some: ArchiveTable) -> list[Checked]:
    from archive import checks

    return checks.check(*tables, some, docs=None)


def found_in(tables: Tables, table: ArchiveTable) -> Checked:
    (checked,) = check(tables, table)
    return checked


def failures(checked: Checked) -> dict[str, tuple[int, tuple[str, ...]]]:
    """Return expectation and column -> rows that do not meet it, and those that are shown."""
    return {
        failed.expectation.partition(" (")[0]: (failed.rows, failed.examples)
        for failed in checked.failed
    }


def test_what_the_archive_writes_meets_the_expectations(tables: Tables) -> None:
    for table, rows in GOOD.items():
        tables.commit(table, rows)
    checked = check(tables, *TABLES)
    assert {each.table: each.rows for each in checked} == {t.name: len(GOOD[t]) for t in TABLES}
    assert [failed for each in checked for failed in each.failed] == []
    assert all(each.expectations > 10 for each in checked)


@pytest.mark.parametrize("rows_at_once", [2, 1_000])
def test_invalid_prices_are_named_with_their_places(
    tables: Tables, monkeypatch: pytest.MonkeyPatch, rows_at_once: int
) -> None:
    monkeypatch.setattr("runtime.archive.quality.rows.ROWS_AT_ONCE", rows_at_once)
    prices = [30.72, 0.0, -1.0, float("inf"), 1e-9, -2.0]
    tables.commit(QUOTES_TABLE, [QUOTE | {"price": price} for price in prices])
    name = "expect_column_values_to_be_between of price"
    assert failures(found_in(tables, QUOTES_TABLE)) == {
        name: (4, tuple(f"log 0 partition 0 offset {offset} (price {prices[offset]})"
                        for offset in (1, 2, 3)))
    }  # fmt: skip


def test_a_duplicate_record_is_found_across_files(tables: Tables) -> None:
    tables.commit(QUOTES_TABLE, [QUOTE] * 4)
    tables.commit(QUOTES_TABLE, [QUOTE, QUOTE | {"offset": 2}, QUOTE | {"offset": 3}])
    ((name, (rows, examples)),) = failures(found_in(tables, QUOTES_TABLE)).items()
    assert name == "expect_column_values_to_be_in_set of place_is_new"
    assert rows == 2
    assert sorted(examples) == [f"log 0 partition 0 offset {offset}" for offset in (2, 3)]


@pytest.mark.parametrize(
    ("table", "broken"),
    [
        (QUOTES_TABLE, {"values_to_be_in_set of place_is_covered": [{"offset": 5}, {"log": 1}]}),
        (
            INTERACTIONS_TABLE,
            {
                "values_to_be_between of event_bytes": [{"event": ""}, {"event": "x" * 41}],
                "values_to_be_between of user_id_bytes": [{"user_id": ""}, {"user_id": "ä" * 65}],
                "values_to_be_between of instrument_id": [{"instrument_id": -1}],
                "values_to_be_between of ts": [{"ts": -1}, {"ts": 4 * TODAY_US}],
            },
        ),
        (FEEDBACK_TABLE, {"values_to_be_between of position": [{"position": 1001}]}),
        (
            BARS_TABLE,
            {
                "pair_values_a_to_be_greater_than_b of high, close": [{"high": 2.5}],
                "pair_values_a_to_be_greater_than_b of open, low": [{"low": 2.5}],
                "values_to_be_between of count": [{"count": 0}],
            },
        ),
    ],
    ids=lambda value: value.name if isinstance(value, ArchiveTable) else "",
)
def test_rows_that_no_topic_can_have_are_found(
    tables: Tables, table: ArchiveTable, broken: dict[str, list[dict[str, Any]]]
) -> None:
    good = GOOD[table][0]
    tables.commit(table, [good, *(good | row for rows in broken.values() for row in rows)])
    found = failures(found_in(tables, table))
    expected = {f"expect_column_{name}": len(rows) for name, rows in broken.items()}
    assert {name: rows for name, (rows, _) in found.items()} == expected


def test_a_truncated_file_is_named(tables: Tables) -> None:
    tables.commit(QUOTES_TABLE, [QUOTE])
    (file,) = tables.files(QUOTES_TABLE)
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(ArchiveError, match=rf"{file.name} cannot be read"):
        found_in(tables, QUOTES_TABLE)


def test_the_command_shows_what_is_broken_writes_pages_and_exits_with_1(
    tables: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from archive.__main__ import app

    monkeypatch.setattr("archive.__main__.configure_logs", lambda *_: None)  # those of this process
    tables.commit(QUOTES_TABLE, [QUOTE, QUOTE | {"price": -1.0}])
    tables.commit(FEEDBACK_TABLE, GOOD[FEEDBACK_TABLE])
    environment = {"ARCHIVE_WAREHOUSE": tables.config.warehouse, "LOG_LEVEL": "ERROR"}
    docs = tmp_path / "docs"

    done = CliRunner().invoke(app, ["check", "--docs", str(docs)], env=environment)
    assert done.exit_code == 1
    assert "expect_column_values_to_be_between of price" in done.output
    assert "log 0 partition 0 offset 1 (price -1.0)" in done.output
    pages = {path.parents[2].name for path in docs.glob("validations/**/*.html")}
    assert pages == {"quotes", "feedback"}
    assert "expectations/quotes.html" in {str(p.relative_to(docs)) for p in docs.rglob("*.html")}

    done = CliRunner().invoke(app, ["check", "--table", "feedback"], env=environment)
    assert (done.exit_code, "all met" in done.output) == (0, True)
