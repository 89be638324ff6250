"""The trainer as a process: started, asked, stopped and killed."""

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest
from typer.testing import CliRunner

from infra.local.process import free_port, running
from infra.local.store import valkey
from tests.patience import PATIENCE_S, eventually
from tests.trainer.run.test_training import likings
from tests.trainer.setup import Setup
from trainer import __main__ as program


@contextmanager
def process(*argv: str, environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A child process that does not outlive the context."""
    child = subprocess.Popen(
        [sys.executable, *argv],
        env=os.environ | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def test_run_publishes_what_changes_shows_metrics_and_stops_on_sigterm(
    setup: Setup, environment: dict[str, str]
) -> None:
    port = str(free_port())
    environment |= {"METRICS_PORT": port, "TRAIN_EVERY_SECONDS": "0.1"}
    setup.fill(np.ones((5, 4)))
    with process("-m", "trainer", "run", environment=environment) as trainer:
        eventually(lambda: setup.served_generation is not None, "a first generation")
        first = setup.served_generation
        setup.something_happens()
        eventually(lambda: setup.served_generation != first, "another generation")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            metrics = answer.read().decode()
        trainer.send_signal(signal.SIGTERM)
        _, log = trainer.communicate(timeout=PATIENCE_S)
    assert trainer.returncode == 0
    assert 'trainer_runs_total{outcome="trained"} 0.0' not in metrics
    # What never happened is exported too, or Prometheus would miss the first time.
    assert 'trainer_runs_total{outcome="rejected"} 0.0' in metrics
    assert 'trainer_decisions_total{what="rolled back"} 0.0' in metrics
    assert 'trainer_decisions_total{what="published"} 0.0' not in metrics
    assert "trainer_items 4.0" in metrics
    assert "trainer_users 5.0" in metrics
    messages = [json.loads(line)["message"] for line in log.splitlines()]
    assert messages[0] == "started"
    assert messages[-1] == "stopped"
    assert not setup.store.exists(setup.keys.model_lock())


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGKILL, marks=pytest.mark.stack)]
)
def test_the_first_lists_wait_for_no_search_and_no_search_outlives_the_trainer(
    setup: Setup, environment: dict[str, str], number: int
) -> None:
    environment |= {"METRICS_PORT": "0", "ITEM_MODEL": "auto", "USER_MODEL": "auto"}
    setup.fill(likings(users=400, items=200))  # a search takes a while
    with process("-m", "trainer", "run", environment=environment) as trainer:
        doing = setup.keys.model_under_way()
        eventually(lambda: '"search"' in str(setup.store.get(doing)), "a search")
        report = setup.report()
        assert report.settings["item_model"] == "ease"
        assert (report.selection, report.held_out) == (None, None)
        (search,) = psutil.Process(trainer.pid).children()
        trainer.send_signal(number)
        trainer.communicate(timeout=PATIENCE_S)
        eventually(lambda: ended(search), "the search's end")


def ended(child: psutil.Process) -> bool:
    """Return whether nobody but the kernel knows it any more."""
    try:
        return child.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_run_waits_until_redis_is_up(environment: dict[str, str], tmp_path: Path) -> None:
    later = valkey(free_port(), tmp_path)
    environment |= {"REDIS_URL": later.address, "METRICS_PORT": "0", "TRAIN_EVERY_SECONDS": "0.1"}
    with process("-m", "trainer", "run", environment=environment) as trainer:
        assert trainer.stderr is not None
        lines = iter(trainer.stderr.readline, "")
        assert any("Redis is away, trying again" in line for line in lines)
        with running(later):
            # It is there, but empty: the topics were never made.
            assert any("run `python -m operations.topics` first" in line for line in lines)
            assert trainer.wait(PATIENCE_S) == 1


def test_once_ends_with_0_when_it_published_and_1_when_it_could_not(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "LEASE_S", 0.1)
    monkeypatch.setattr(program, "_start", lambda: (setup.settings, threading.Event()))
    setup.fill(np.ones((3, 2)))
    setup.store.set(setup.keys.model_lock(), "another", px=600_000)
    assert CliRunner().invoke(program.app, ["once"]).exit_code == 1
    assert setup.served_generation is None
    monkeypatch.setattr(program, "LEASE_S", PATIENCE_S)  # so long it may wait
    setup.store.pexpire(setup.keys.model_lock(), 100)
    assert CliRunner().invoke(program.app, ["once"]).exit_code == 0
    assert setup.served_generation
