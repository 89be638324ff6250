"""What is away, full, changed or half done: nothing is lost, and it says what is wrong."""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
from pyiceberg.types import StringType

from contracts.archive import QUOTES_TABLE
from infra.local.process import free_port
from runtime.archive.catalog import ArchiveError
from runtime.archive.tables import FORMAT_PROPERTY, open_table
from tests.archive.conftest import Setup
from tests.archive.samples import quotes
from tests.archive.tables import Tables
from tests.patience import eventually


@contextmanager
def catalog_away(setup: Setup) -> Iterator[None]:
    """The catalog's file is not there."""
    file = Path(setup.config.warehouse) / "catalog.db"
    file.rename(file.with_suffix(".away"))
    file.mkdir()
    try:
        yield
    finally:
        file.rmdir()
        file.with_suffix(".away").rename(file)


@pytest.mark.slow
def test_on_a_full_disk_it_waits_and_then_continues(setup: Setup) -> None:
    port = free_port()
    settings = setup.environment(METRICS_PORT=str(port), ARCHIVE_FLUSH_INTERVAL_S="0.2")
    process = subprocess.Popen(
        [sys.executable, "-m", "archive", "run"],
        env=os.environ | settings,
        stderr=subprocess.DEVNULL,
    )
    try:
        setup.publish([*quotes(100)])
        eventually(lambda: ready(port) == 200, "readiness")
        # As on a disk that is full: what it writes to a file fails.
        limit = psutil.Process(process.pid).rlimit
        before = limit(resource.RLIMIT_FSIZE)
        limit(resource.RLIMIT_FSIZE, (0, before[1]))
        setup.publish([*quotes(100, first=100)])
        eventually(lambda: ready(port) == 503, "that it waits")
        limit(resource.RLIMIT_FSIZE, before)
        eventually(lambda: ready(port) == 200, "readiness again")
        setup.publish([*quotes(100, first=200)])
        eventually(lambda: len(setup.rows(QUOTES_TABLE)) >= 300, "all quotes")
    finally:
        process.terminate()
        assert process.wait() == 0
    assert setup.sizes() == list(range(300))


def ready(port: int) -> int | None:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health/ready").status_code
    except httpx.TransportError:
        return None


def test_it_waits_for_an_unreachable_catalog_with_bounded_memory_and_then_continues(
    setup: Setup,
) -> None:
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
