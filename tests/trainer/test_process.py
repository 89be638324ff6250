"""The trainer as a process: started, asked, stopped and killed."""

import json
import os
import random
import secrets
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import psutil
import pytest

from contracts.generations import DEFAULT_VARIANT, PopularList, SimilarList, UserList
from contracts.keyspace import REPLACED_GENERATION_TTL_S, Keyspace
from contracts.pointer import named
from infra.local.process import free_port, running
from infra.local.store import valkey
from tests.patience import PATIENCE_S, eventually
from tests.trainer.run.test_training import likings
from tests.trainer.setup import Setup
from trainer.generations.report import Report

KILLS = 40


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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_first_lists_wait_for_no_search_and_no_search_outlives_the_trainer(
    setup: Setup, environment: dict[str, str], number: int
) -> None:
    environment |= {"METRICS_PORT": "0", "ITEM_MODEL": "auto", "USER_MODEL": "auto"}
    setup.fill(likings(users=1_000, items=600))  # a search takes a while
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


def test_run_waits_for_a_redis_that_is_not_up_yet(
    environment: dict[str, str], tmp_path: Path
) -> None:
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


IMPATIENT = """
import trainer.__main__ as program

program.LEASE_S = 0.3
program.app()
"""


def test_once_ends_with_0_when_it_published_and_1_when_it_could_not(
    setup: Setup, environment: dict[str, str]
) -> None:
    setup.fill(np.ones((3, 2)))
    elsewhere = Keyspace(f"{setup.keys.namespace}-locked")
    setup.store.set(elsewhere.model_lock(), "another", px=600_000)
    locked_out = environment | {"NAMESPACE": elsewhere.namespace}
    with (
        process("-m", "trainer", "once", environment=environment) as good,
        process("-c", IMPATIENT, "once", environment=locked_out) as bad,
    ):
        assert good.wait(PATIENCE_S) == 0
        assert bad.wait(PATIENCE_S) == 1
    assert setup.served_generation


ALL_IN_ONE_RUN = """
import sys, threading
from trainer.run.runs import Runs
from trainer.settings import TrainerSettings

assert Runs(TrainerSettings(), threading.Event()).once(only_if_changed=True, wait_for_lock_s=0)
sys.exit(any(name in sys.modules for name in ("trainer.judging.comparison", "scipy.stats")))
"""


def test_without_rules_for_canaries_no_comparison_is_imported(
    setup: Setup, environment: dict[str, str], tmp_path: Path
) -> None:
    setup.fill(np.ones((3, 2)))
    rules = tmp_path / "canary.toml"
    rules.write_text("")
    for more, imported in (({}, 0), ({"CANARY_RULES": str(rules)}, 1)):
        setup.something_happens()
        child = process("-c", ALL_IN_ONE_RUN, environment=environment | more)
        with child as run:
            assert run.wait(PATIENCE_S) == imported
    assert setup.current.canary is not None


LAUNCHER = """
import os, signal, socket, sys, threading
# A run imports these when it needs them.
import trainer.judging.canary, trainer.judging.search
from runtime.logs import configure_logs
from trainer.judging import comparison
from trainer.run.runs import Runs
from trainer.settings import TrainerSettings

configure_logs("trainer", TrainerSettings(log_level="ERROR"))
comparison.read_feedback = lambda *_: None  # there is no Kafka
send, sent = socket.socket.sendall, 0

def send_up_to(last, connection, data):
    global sent
    left = last - sent
    sent += len(data)
    if len(data) > left:
        send(connection, data[:left])
        os.kill(os.getpid(), signal.SIGKILL)
    send(connection, data)

for order in sys.stdin:
    pid = os.fork()  # a fresh run without a fresh import
    if pid == 0:
        last = int(order)
        socket.socket.sendall = lambda connection, data: send_up_to(last, connection, data)
        Runs(TrainerSettings(), threading.Event()).once(only_if_changed=True, wait_for_lock_s=60)
        print(sent, flush=True)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    print("killed" if os.WIFSIGNALED(status) else "ended", flush=True)
"""
NEVER = sys.maxsize


class Launcher:
    """Does runs, each a process of its own."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        assert child.stdin is not None
        assert child.stdout is not None
        self._orders = child.stdin
        self._answers = child.stdout

    def _order(self, last_byte: int) -> str:
        self._orders.write(f"{last_byte}\n")
        self._orders.flush()
        return self._answers.readline()

    def run(self) -> int:
        """Do a whole run; return how many bytes it sent to Redis."""
        sent = int(self._order(NEVER))
        assert self._answers.readline() == "ended\n"
        return sent

    def run_killed_after(self, sent: int, setup: Setup) -> None:
        """Do a run that is killed when it has sent so many bytes, unless it sends fewer.

        Returns once Redis has done what it was sent: it sees the end after everything else.
        """
        if self._order(sent) != "killed\n":
            assert self._answers.readline() == "ended\n"
        clients = setup.store.client_list
        eventually(lambda: "trainer" not in {each["name"] for each in clients()}, "its end")


def moments(whole_run: int) -> Iterator[int]:
    """Yield how far a run gets before each kill, in bytes: at random, but all over the run."""
    seed = secrets.randbelow(2**32)
    print("seed", seed)
    random_ = random.Random(seed)
    for kill in range(KILLS):
        yield int((kill + random_.random()) / KILLS * whole_run)


def assert_whole(setup: Setup, served: str) -> None:
    """All lists of a generation are there, readable, and live for ever."""
    report = setup.read(setup.keys.model_report(served), Report)
    keys = sorted(setup.store.smembers(setup.keys.model_keys(served)))
    pipeline = setup.store.pipeline(transaction=False)
    for key in keys:
        pipeline.ttl(key)
    assert set(pipeline.execute()) == {-1}

    similar = [key for key in keys if ":similar:" in key]
    users = [key for key in keys if ":user:" in key]
    assert (len(similar), len(users)) == (report.lists.similar, report.lists.user)
    for of_type, of_keys in (
        (SimilarList, similar),
        (UserList, users),
        (PopularList, [setup.keys.model_popular(served)]),
    ):
        decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(of_type)
        assert all(decoder.decode(value).items for value in setup.store.mget(of_keys))


def assert_all_else_ends(setup: Setup, kept: set[str]) -> None:
    """No key of another generation lives for ever."""
    assert set(setup.store.zrange(setup.keys.model_generations(), 0, -1)) == kept
    pipeline = setup.store.pipeline(transaction=False)
    for key in setup.store.scan_iter(f"{setup.keys.namespace}:model:20*", count=10_000):
        if not any(f":{generation}:" in key for generation in kept):
            pipeline.ttl(key)
    for_ever = -1  # in the answers to TTL; what has expired since is -2, or 0 in its last moment
    assert all(for_ever != ttl <= REPLACED_GENERATION_TTL_S for ttl in pipeline.execute())


@pytest.mark.slow
def test_a_trainer_killed_at_any_moment_leaves_what_is_served_whole_and_nothing_for_ever(
    setup: Setup, environment: dict[str, str], tmp_path: Path
) -> None:
    setup.fill(np.random.default_rng(0).integers(0, 2, (60, 200)) * 1.0)
    # Each run judges the canary of the one before, promotes it, publishes another variant, and
    # tries out the next canary.
    rules, variants = tmp_path / "canary.toml", tmp_path / "variants.toml"
    rules.write_text("minutes = 0\nusers_least = 0\n")
    variants.write_text("[few]\nneighbors_per_item = 5\n")
    environment |= {
        "CANARY_RULES": str(rules),
        "KEEP_GENERATIONS": "1",
        "VARIANTS": str(variants),
    }
    with process("-c", LAUNCHER, environment=environment) as child:
        launcher = Launcher(child)

        def prepare() -> None:
            setup.store.delete(setup.keys.model_lock())  # as if the dead one's lease were over
            setup.something_happens()

        for _ in range(3):
            prepare()
            whole_run = launcher.run()
        current = setup.current
        assert current.canary
        assert current.previous

        seen, left_behind = [], 0
        for moment in moments(whole_run):
            prepare()
            launcher.run_killed_after(moment, setup)
            current = setup.current
            registered = setup.store.zrange(setup.keys.model_generations(), 0, -1)
            left_behind += len(registered) > len(named(current))
            assert current.variants.keys() == {DEFAULT_VARIANT, "few"}
            for each in named(current):
                assert_whole(setup, each)
            seen.append(current.canary is not None)
        assert left_behind, "no kill came before a flip"
        assert not all(seen), "no kill came between a promotion and the next canary"

        prepare()
        launcher.run()
    current = setup.current
    assert current.canary
    assert len(named(current)) == 4
    assert_all_else_ends(setup, named(current))
