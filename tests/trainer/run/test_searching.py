"""Searches in processes of their own: what they find, and how they end."""

import pickle
import time
from resource import RUSAGE_CHILDREN, getrusage
from subprocess import PIPE, Popen

import numpy as np
import psutil
import pytest
from msgspec.structs import replace
from prometheus_client import REGISTRY
from scipy.sparse import csr_array
from structlog.testing import capture_logs

from tests.patience import PATIENCE_S, eventually
from tests.trainer.run.test_training import likings
from tests.trainer.setup import unwatched
from trainer.counts.derived import Histories
from trainer.generations.report import Found
from trainer.judging.search import find
from trainer.run.searching import COMMAND, Job, Searches
from trainer.settings import TrainerSettings


def job_of(users: int, items: int) -> Job:
    rows = csr_array(likings(users=users, items=items))
    times = np.arange(rows.nnz, dtype=np.int64) * 1_000
    counts = Histories(rows, times), rows.data, csr_array(rows.T @ rows)
    return Job(counts, TrainerSettings(), None, "default", ("2021-08-15", items, rows.nnz, users))


@pytest.fixture(scope="module")
def long_job() -> Job:
    """A job that takes longer than what is done to it."""
    return job_of(400, 200)


def begun(job: Job) -> Searches:
    searches = Searches(are_awaited=False)
    searches.next = job
    searches.begin()
    return searches


def failed() -> float:
    return REGISTRY.get_sample_value("trainer_searches_total", {"outcome": "failed"}) or 0


def untimed(found: Found) -> Found:
    return replace(found, tried=[replace(tried, seconds=0) for tried in found.tried])


def cpu_of_children() -> float:
    used = getrusage(RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_a_process_finds_what_is_found_here_shows_the_best_so_far_and_takes_half_a_core() -> None:
    job, cpu_before, started = job_of(60, 24), cpu_of_children(), time.monotonic()
    searches = begun(job)
    eventually(lambda: (doing := searches.under_way) and doing.candidates > 1, "candidates")
    assert searches.under_way is not None
    assert searches.under_way.best.startswith("cosine, nDCG@10 0.")
    eventually(lambda: searches.under_way is None, "its end")
    cores = (cpu_of_children() - cpu_before) / (time.monotonic() - started)
    assert 0 < cores < 0.6, "what comes after the last candidate, too"
    chosen = searches.choice("default", job.settings)
    assert chosen is not None
    here = find(*job.counts, job.settings, unwatched())
    assert len(here.tried) > 20
    assert untimed(chosen.found) == untimed(here)
    assert (chosen.at, chosen.items, chosen.users) == ("2021-08-15", 24, 60)
    assert searches.choice("default", TrainerSettings(active_users=5)) is None


def test_a_killed_process_is_counted_and_logged_and_leaves_no_choice(long_job: Job) -> None:
    before, searches = failed(), begun(long_job)
    with capture_logs() as logs:
        eventually(lambda: searches._process is not None, "a process")
        assert searches._process is not None
        searches._process.kill()
        eventually(lambda: searches.under_way is None, "its end")
    assert failed() == before + 1
    assert [log["reason"] for log in logs if log["event"] == "search failed"] == ["ended with -9"]
    assert searches.choice("default", long_job.settings) is None


def test_a_process_ends_with_its_input_and_has_the_lowest_priority(long_job: Job) -> None:
    with Popen(COMMAND, stdin=PIPE) as child:
        assert child.stdin is not None
        pickle.dump(long_job, child.stdin, pickle.HIGHEST_PROTOCOL)
        child.stdin.flush()
        assert psutil.Process(child.pid).nice() == 19
        child.stdin.close()
        assert child.wait(PATIENCE_S) == 1
