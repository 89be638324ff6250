"""What the catalog names is on the disk: files, and the entries of their parent folders."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from archive.maintenance.cleaning import _referenced
from archive.maintenance.compaction import Rule, compact
from contracts.archive import QUOTES_TABLE
from runtime.archive.catalog import open_catalog
from runtime.archive.config import ArchiveConfig
from runtime.archive.durable_files import DurableFileIO
from tests.archive.tables import TODAY_US, Tables, path_of

State = int | frozenset[str]
"""Of a file its bytes, of a folder its entries."""


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> dict[Path, State]:
    """What was put on the disk, as it was then."""
    states: dict[Path, State] = {}
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        fsync(descriptor)
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        states[path] = state_of(path)

    monkeypatch.setattr(os, "fsync", noted)
    return states


def state_of(path: Path) -> State:
    return (
        frozenset(entry.name for entry in path.iterdir()) if path.is_dir() else path.stat().st_size
    )


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="/proc shows which file is synced")
def test_the_catalog_changes_once_all_that_it_names_is_on_the_disk(
    synced: dict[Path, State], tmp_path: Path
) -> None:
    config = ArchiveConfig(warehouse=str(tmp_path / "new" / "warehouse"))
    tables = Tables(open_catalog(config), config)
    at_commits: list[dict[Path, State]] = []
    event.listen(tables.catalog.engine, "commit", lambda _: at_commits.append(dict(synced)))  # type: ignore[attr-defined]

    def check(done: Callable[..., Any], *args: Any) -> None:
        at_commits.clear()
        done(QUOTES_TABLE, *args)
        for location in _referenced(tables.found(QUOTES_TABLE)):
            path = path_of(location)
            assert at_commits[-1].get(path) == state_of(path)
            while path != tmp_path:
                assert path.name in at_commits[-1][path.parent]
                path = path.parent

    quotes = [{"instrument_id": i, "ts": TODAY_US + i} for i in range(9)]
    check(tables.commit, quotes)
    check(tables.commit, quotes)
    check(tables.commit, [row | {"ts": TODAY_US + 86_400_000_000} for row in quotes])
    check(lambda table: compact(tables.stored(table), Rule(2**20, 60, is_forced=True), 0))


def test_a_disk_that_fails_ends_the_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fails)
    output = DurableFileIO().new_output(f"file://{tmp_path}/folder/file")
    with pytest.raises(OSError, match="Input/output error"), output.create() as stream:
        stream.write(b"rows")
