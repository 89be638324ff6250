"""Each table of the archive has rules, and they are about columns that it has."""

from dataclasses import asdict

import pytest

from contracts.archive import TABLES, ArchiveTable
from contracts.archive_rules import BytesWithin, NotNull, rules_of

of_each_table = pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
COLUMNS = ("column", "lower", "upper")


@of_each_table
def test_rules_name_columns_of_their_table(table: ArchiveTable) -> None:
    named = {
        value for rule in rules_of(table) for key, value in asdict(rule).items() if key in COLUMNS
    }
    assert named <= {column.name for column in table.columns}


@of_each_table
def test_every_column_has_a_rule_and_what_is_required_is_not_null(table: ArchiveTable) -> None:
    rules = rules_of(table)
    for column in table.columns:
        of_column = [rule for rule in rules if column.name in asdict(rule).values()]
        assert of_column or column.name in ("last_event_before", "erased_at")
        assert not column.is_required or NotNull(column.name) in rules


def test_a_tombstone_needs_no_instrument_and_any_other_event_does() -> None:
    (table,) = (each for each in TABLES if each.name == "interactions")
    rules = rules_of(table)
    assert NotNull("instrument_id", unless=("event", "erased")) in rules
    assert BytesWithin("event", 1, 40) in rules
