"""The archive as a process: what it waits for, which tables it refuses, and when it ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue

import pytest
from pyiceberg.types import StringType

from archive.service import State, watch
from contracts.archive import QUOTES_TABLE
from runtime.archive.catalog import ArchiveError
from runtime.archive.tables import FORMAT_PROPERTY, open_table
from tests.archive.conftest import Setup
from tests.archive.samples import quotes
from tests.archive.tables import Tables
from tests.guarded import Guarded
from tests.patience import PATIENCE_S, eventually


class Looked(State):
    """Counts the looks at it."""

    looks = 0
    stands_still = False

    @property
    def is_stalled(self) -> bool:
        self.looks += 1
        return self.stands_still


def test_a_loop_that_stands_still_ends_the_process_and_one_that_goes_on_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state, ended = Looked(), SimpleQueue[int]()
    monkeypatch.setattr("archive.service.os._exit", ended.put)
    watch(state, end_after_s=0.05, look_every_s=0.01)
    eventually(lambda: state.looks > 20, "looks")
    assert ended.empty()
    state.stands_still = True
    assert ended.get(timeout=PATIENCE_S) == 1


@contextmanager
def catalog_away(setup: Setup) -> Iterator[None]:
    file = Path(setup.config.warehouse) / "catalog.db"
    file.rename(file.with_suffix(".away"))
    file.mkdir()
    try:
        yield
    finally:
        file.rmdir()
        file.with_suffix(".away").rename(file)


def test_it_waits_for_the_catalog_with_bounded_memory_and_then_continues(setup: Setup) -> None:
    with setup.running(archive_buffer_mb=1, archive_flush_interval_s=60) as archive:
        eventually(lambda: len(archive.archiver.partitions) == 8, "its partitions")
        with catalog_away(setup):
            setup.publish([*quotes(60_000)])
            eventually(lambda: archive.state.waits_for is not None, "that it waits")
            assert not archive.state.is_ready
            assert not archive.state.is_stalled
            read = archive.archiver.buffered_bytes
            assert 2**20 <= read < 2**21
            assert archive.archiver.buffered_bytes == read
        eventually(lambda: len(setup.rows(QUOTES_TABLE)) >= 40_000, "most of them")
        eventually(lambda: archive.state.is_ready, "readiness again")
    assert setup.sizes() == list(range(60_000))


@pytest.mark.parametrize("other", ["2", None])
def test_a_table_of_another_format_is_refused(tables: Tables, other: str | None) -> None:
    with tables.found(QUOTES_TABLE).transaction() as change:
        if other is None:
            change.remove_properties(FORMAT_PROPERTY)
        else:
            change.set_properties({FORMAT_PROPERTY: other})
    says = rf"table tickrec\.quotes is of format {(other or 'none')}, not 1 .*: give the archive"
    with pytest.raises(ArchiveError, match=says):
        open_table(*tables, QUOTES_TABLE)


def test_a_table_with_another_column_is_refused(tables: Tables) -> None:
    found = tables.found(QUOTES_TABLE)
    with found.update_schema() as update:
        update.add_column("note", StringType())
    open_table(*tables, QUOTES_TABLE)
    with found.update_schema(allow_incompatible_changes=True) as update:
        update.delete_column("size")
    with pytest.raises(
        ArchiveError, match=r"table tickrec\.quotes is missing column size double: give"
    ):
        open_table(*tables, QUOTES_TABLE)


def test_its_user_needs_no_more_than_its_rights(setup: Setup, guarded: Guarded) -> None:
    guarded.grant("live", setup.kafka.prefix)
    setup.publish([*quotes(50)])
    theirs = Setup(guarded.config("archive", prefix=setup.kafka.prefix), setup.config)
    with theirs.running() as archive:
        eventually(
            lambda: archive.error is not None or len(setup.rows(QUOTES_TABLE)) == 50, "quotes"
        )
    assert archive.error is None
    assert len(setup.rows(QUOTES_TABLE)) == 50
