"""Rows of many days make commits of few files, and what fits into one is not cut."""

from hypothesis import given
from hypothesis import strategies as st

from archive.writing.files import grouped, rows_that_fit
from contracts.archive import INTERACTIONS_TABLE, QUOTES_TABLE, ArchiveTable
from tests.archive.tables import DAY_US, rows_of

days = st.integers(0, 40)
placed = st.lists(st.tuples(st.integers(0, 2), days, st.integers(0, 3)), min_size=1, max_size=60)


@given(placed, st.integers(3, 20), st.sampled_from((QUOTES_TABLE, INTERACTIONS_TABLE)))
def test_the_first_rows_that_fit_need_no_more_files_and_all_are_kept_where_all_fit(
    places: list[tuple[int, int, int]], files_most: int, table: ArchiveTable
) -> None:
    ordered = sorted(places, key=lambda place: place[0])
    rows = rows_of(
        table,
        [{"partition": p, "ts": day * DAY_US, "instrument_id": i} for p, day, i in ordered],
    )
    fitting = rows_that_fit(table, rows, files_most)
    kept: list[int] = []
    for number in range(3):
        own = [n for n, place in enumerate(ordered) if place[0] == number]
        kept += own[: fitting.get(number, len(own))]
    files = len(list(grouped(table, rows.take(kept))))
    assert files <= files_most
    if fitting:
        assert len(list(grouped(table, rows))) > files_most
        assert all(n > 0 for n in fitting.values())
