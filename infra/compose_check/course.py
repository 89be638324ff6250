"""The steps of the check, in order."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import httpx

from contracts.keyspace import Keyspace
from infra.compose_check import faults
from infra.compose_check.comparing import ask_all, changes, fixed_answers, recount
from infra.compose_check.engine import CheckError, Container, image_sizes
from infra.compose_check.folding import NAMESPACE, folded, shared
from infra.compose_check.report import Report, sizes
from infra.compose_check.serving import all_up, client_of, fresh, spread
from infra.compose_check.stack import Stack
from infra.compose_check.waiting import Problem, until_well
from infra.local.subjects import Subjects
from infra.local.tour import await_subjects
from runtime.redis.stores import connect

_WORKERS: Final = 2
_APIS: Final = 3
_WELL_S: Final = 300
"""Long, for a busy machine: each wait ends as soon as the condition holds."""


def take(stack: Stack, report: Report) -> None:
    """Run all steps.

    Raises:
        CheckError: one failed.
    """
    with report.step("images are built"):
        stack.build()
    report.console.print(sizes(image_sizes(stack.images)))
    with report.step("a key is made"):
        key = stack.make_key()
    with report.step("the profiles simulate, archive and observe are up"):
        stack.up()
    with client_of(stack, key) as client:
        with report.step("bars, histories and lists are there"):
            subjects = _subjects(stack, client)
        course = _Course(stack, report, client, subjects)
        course.ask()
        course.scale()
        course.strike()
        course.compare()


@dataclass(frozen=True, slots=True)
class _Course:
    """Checks of a running stack that has data."""

    stack: Stack
    report: Report
    client: httpx.Client
    subjects: Subjects

    def ask(self) -> None:
        """Ask the smoke test's questions, and check Prometheus's targets."""
        with self.report.step("nginx answers as in the smoke") as seen:
            seen.append(f"{ask_all(self.client, self.subjects)} answers")
        with self.report.step("Prometheus sees every target up"):
            _until(all_up(self.stack))

    def scale(self) -> None:
        """Start more workers and processes of the API."""
        with self.report.step(f"{_WORKERS} workers share the partitions, with {_APIS} of the API"):
            self.stack.up(worker=_WORKERS, api=_APIS)
            self._until_at_work()
        with self.report.step("requests go to each of them, and Prometheus sees all"):
            _until(spread(self.stack, self.client))
            _until(all_up(self.stack))

    def strike(self) -> None:
        """Inject faults, and wait each time until the stack has recovered."""
        stack, starved_s = self.stack, faults.STARVED_S
        strikes: dict[str, Callable[[], Any]] = {
            "a worker's process is killed": partial(faults.kill_process, stack, "worker"),
            "a process of the API is killed": partial(faults.kill_process, stack, "api"),
            f"Kafka has 1 % of a core for {starved_s} s": partial(faults.starve, stack, "kafka"),
            "Kafka is restarted": partial(faults.restart, stack, "kafka"),
            "Redis is killed and started": partial(faults.crash, stack, "redis"),
        }
        for what, strike in strikes.items():
            with self.report.step(what) as seen:
                strike()
                began_s = time.monotonic()
                self._until_at_work()
                seen.append(f"all at work after {time.monotonic() - began_s:.0f} s")

    def compare(self) -> None:
        """Compare Redis with the log, now and after the stack was taken down and up again."""
        with self.report.step("the producer is stopped, and all is folded") as seen:
            seen.append(f"started again: {restarts(self.stack.containers())}")
            self.stack.compose("stop", "producer")
            _until(folded(self.stack))
        with self.report.step("Redis holds what the log says") as seen:
            seen.append(recount(self.stack))
        before = fixed_answers(self.client, self.subjects)
        with self.report.step("down and up again, with the volumes"):
            self.stack.down()
            self.stack.up(worker=_WORKERS, api=_APIS, producer=0)
            _until(shared(self.stack, _WORKERS))
            _until(folded(self.stack))
        with self.report.step("Redis still holds what the log says") as seen:
            seen.append(recount(self.stack))
        with self.report.step("answers are the same") as seen:
            if changed := changes(before, fixed_answers(self.client, self.subjects)):
                raise CheckError("\n".join(changed))
            seen.append(f"{len(before)} compared")

    def _until_at_work(self) -> None:
        """Wait until all containers are healthy, and later quotes are folded and served."""
        now_s = time.time()
        _until(unwell(self.stack))
        _until(shared(self.stack, _WORKERS))
        _until(folded(self.stack))
        _until(fresh(self.client, self.subjects, now_s))


def unwell(stack: Stack) -> Problem:
    """Report unhealthy containers."""

    def problem() -> str | None:
        ill = [f"{one.service} is {one.health}" for one in stack.containers() if not one.is_well]
        return ", ".join(ill) or None

    return problem


def restarts(containers: list[Container]) -> str:
    """Return how often the engine restarted containers, by service."""
    counts: Counter[str] = Counter()
    for one in containers:
        counts[one.service] += one.restarts
    return ", ".join(f"{service} {n}" for service, n in sorted(counts.items()) if n) or "none"


def _until(problem: Problem) -> None:
    until_well(problem, _WELL_S)


def _subjects(stack: Stack, client: httpx.Client) -> Subjects:
    with connect(stack.redis, "tickrec-compose-check") as store:
        logs = f"docker compose --project-name {stack.project} logs"
        return await_subjects(time.sleep, Keyspace(NAMESPACE), store, client, logs)
