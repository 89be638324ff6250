"""The same tables in a REST catalog: Apache Iceberg's own, with the files in a folder here."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec
import pytest

from archive.maintenance.cleaning import clean
from archive.maintenance.rounds import maintain
from archive.reading.broker import Broker
from archive.settings import Times
from contracts.archive import (
    BARS_TABLE,
    ERASED,
    FEEDBACK_TABLE,
    INTERACTIONS_TABLE,
    QUOTES_TABLE,
    TABLES,
)
from contracts.bar_messages import ClosedBar
from contracts.topics import BARS
from infra.local.process import Server, free_port, running
from runtime.archive.config import ArchiveConfig
from tests.archive.conftest import Setup
from tests.archive.rest.server import rest_catalog
from tests.archive.samples import feedback, interaction, now_ms, quotes, tombstone
from tests.patience import PATIENCE_S, eventually

USERS: Final = 40
BARS_SENT: Final = 30
SECRET: Final = "open-sesame"


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return rest_catalog(free_port(), tmp_path / "rest")


@pytest.fixture
def config(server: Server) -> ArchiveConfig:
    return ArchiveConfig(catalog="rest", catalog_uri=server.address, warehouse="archive")


def bars(n: int) -> Iterator[tuple[str, bytes, bytes]]:
    for i in range(n):
        minute = 60_000 * (now_ms() // 60_000 - n + i)
        bar = ClosedBar(7, minute, 2.5, 3.0, 2.0, 2.75, float(i), 2, 19.0, minute, minute + 1, 5)
        yield BARS.name, b"7", msgspec.json.encode(bar)


def files_of(setup: Setup) -> set[Path]:
    return {file for table in TABLES for file in setup.tables.files(table)}


@pytest.mark.slow
def test_each_record_is_a_row_once_whatever_happens_to_archive_and_catalog(
    setup: Setup, server: Server, config: ArchiveConfig, tmp_path: Path
) -> None:
    setup, ts = replace(setup, config=config), now_ms()
    events = [interaction(f"u{i}", i, ts, event="click") for i in range(USERS)]
    clicks = [feedback(f"u{i}", i, ts) for i in range(USERS)]
    with contextlib.ExitStack() as stack:
        with running(server):
            setup.publish([*quotes(200), *bars(BARS_SENT), *events, *clicks])
            with setup.running():
                eventually(lambda: len(setup.rows(QUOTES_TABLE)) == 200, "the first quotes")
            archive = stack.enter_context(setup.running())
            setup.publish([*quotes(200, first=200)])
            eventually(lambda: len(setup.rows(QUOTES_TABLE)) >= 400, "those after a restart")
            for table, n in (
                (BARS_TABLE, BARS_SENT),
                (INTERACTIONS_TABLE, USERS),
                (FEEDBACK_TABLE, USERS),
            ):
                eventually(lambda t=table, n=n: len(setup.rows(t)) >= n, f"all of {table.name}")
        setup.publish([*quotes(200, first=400), tombstone("u0")])
        eventually(lambda: archive.state.waits_for is not None, "that it waits")
        assert not archive.state.is_ready
        with running(server):
            setup.publish([*quotes(200, first=600)])
            eventually(lambda: len(setup.rows(QUOTES_TABLE)) >= 800, "the last quotes")
            eventually(lambda: len(setup.rows(INTERACTIONS_TABLE)) > USERS, "the tombstone")
            eventually(lambda: archive.state.is_ready, "readiness again")
            stack.close()
            broker = Broker(setup.kafka)
            assert not maintain(setup.catalog, setup.settings(), broker, TABLES, is_forced=True)
            for table in TABLES:
                clean(setup.tables.stored(table), Times(0, 0), time.time() + 1)
            assert archive.error is None
            assert set((tmp_path / "rest").rglob("*.parquet")) == files_of(setup)
            assert sorted(setup.rows(QUOTES_TABLE, "size")) == [(i,) for i in range(800)]
            assert sorted(setup.rows(BARS_TABLE, "volume")) == [(i,) for i in range(BARS_SENT)]
            stay = [(f"u{i}", i) for i in range(1, USERS)]
            stored = setup.rows(INTERACTIONS_TABLE, "user_id, instrument_id, event")
            assert sorted(stored, key=lambda row: row[1] or 0) == [
                ("u0", None, ERASED), *((*each, "click") for each in stay)
            ]  # fmt: skip
            clicked = setup.rows(FEEDBACK_TABLE, "user_id, instrument_id")
            assert sorted(clicked, key=lambda row: row[1]) == stay


@pytest.fixture(scope="module")
def guarded_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of one that lets in who knows its secret."""
    server = rest_catalog(free_port(), tmp_path_factory.mktemp("guarded") / "rest", SECRET)
    with running(server):
        yield server.address


@pytest.mark.slow
@pytest.mark.parametrize(
    ("logs_in", "says"),
    [
        ({}, "by PYICEBERG_CATALOG__ARCHIVE__TOKEN, or"),
        ({"TOKEN": "of somebody else"}, "rejects this program's login"),
        ({"TOKEN": f"token-for-{SECRET}"}, None),
        (
            {"CREDENTIAL": f"archive:{SECRET}", "OAUTH2_SERVER_URI": "{url}/v1/oauth/tokens"},
            None,
        ),
        (
            {"CREDENTIAL": "archive:wrong", "OAUTH2_SERVER_URI": "{url}/v1/oauth/tokens"},
            "rejects this program's login",
        ),
    ],
)
def test_a_login_by_pyicebergs_own_settings_works(
    guarded_url: str, logs_in: dict[str, str], says: str | None
) -> None:
    # It would run until it is stopped with a login that works.
    done = asked("status" if says is None else "run", guarded_url, logs_in)
    assert done.returncode == (says is not None), done.stderr
    assert (says or "") in done.stderr
    assert SECRET not in done.stderr


def asked(command: str, url: str, logs_in: dict[str, str]) -> subprocess.CompletedProcess[str]:
    given = {
        f"PYICEBERG_CATALOG__ARCHIVE__{name}": value.format(url=url)
        for name, value in logs_in.items()
    }
    return subprocess.run(
        [sys.executable, "-m", "archive", command],
        env=os.environ
        | {"ARCHIVE_CATALOG": "rest", "ARCHIVE_CATALOG_URI": url, "METRICS_PORT": "0"}
        | given,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
