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

import pytest

from archive.maintenance.cleaning import clean
from archive.maintenance.rounds import maintain
from archive.reading.broker import Broker
from archive.settings import Times
from contracts.archive import ERASED, INTERACTIONS_TABLE, QUOTES_TABLE, TABLES
from infra.local.process import Server, free_port, running
from runtime.archive.config import ArchiveConfig
from tests.archive.conftest import Setup
from tests.archive.rest.server import rest_catalog
from tests.archive.samples import interaction, now_ms, quotes, tombstone
from tests.patience import PATIENCE_S, eventually

SECRET: Final = "open-sesame"


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return rest_catalog(free_port(), tmp_path / "rest")


@pytest.fixture
def config(server: Server) -> ArchiveConfig:
    return ArchiveConfig(catalog="rest", catalog_uri=server.address, warehouse="archive")


def files_of(setup: Setup) -> set[Path]:
    return {file for table in TABLES for file in setup.tables.files(table)}


@pytest.mark.slow
def test_each_record_is_a_row_once_whatever_happens_to_archive_and_catalog(
    setup: Setup, server: Server, config: ArchiveConfig, tmp_path: Path
) -> None:
    setup = replace(setup, config=config)
    with contextlib.ExitStack() as stack:
        with running(server):
            setup.publish([*quotes(200), interaction("u0", 1, now_ms()), tombstone("u0")])
            with setup.running():
                eventually(lambda: len(setup.rows(QUOTES_TABLE)) == 200, "the first quotes")
            archive = stack.enter_context(setup.running())
            setup.publish([*quotes(200, first=200)])
            eventually(lambda: len(setup.rows(QUOTES_TABLE)) >= 400, "those after a restart")
        setup.publish([*quotes(200, first=400)])
        eventually(lambda: archive.state.waits_for is not None, "that it waits")
        assert not archive.state.is_ready
        with running(server):
            eventually(lambda: len(setup.rows(QUOTES_TABLE)) >= 600, "the last quotes")
            eventually(lambda: len(setup.rows(INTERACTIONS_TABLE)) == 2, "the tombstone")
            eventually(lambda: archive.state.is_ready, "readiness again")
            stack.close()
            broker = Broker(setup.kafka)
            assert not maintain(setup.catalog, setup.settings(), broker, TABLES, is_forced=True)
            for table in TABLES:
                clean(setup.tables.stored(table), Times(0, 0), time.time() + 1)
            assert archive.error is None
            assert set((tmp_path / "rest").rglob("*.parquet")) == files_of(setup)
            assert setup.sizes() == list(range(600))
            assert setup.rows(INTERACTIONS_TABLE, "user_id, event") == [("u0", ERASED)]


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
        ({"CREDENTIAL": f"archive:{SECRET}", "OAUTH2_SERVER_URI": "{url}/v1/oauth/tokens"}, None),
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
