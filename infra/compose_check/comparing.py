"""Compares the stack's responses with expectations, and its state with its log."""

import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from typing import Any, Final

import httpx

from contracts.times import MINUTE_MS
from infra.compose_check.engine import CheckError
from infra.compose_check.folding import NAMESPACE
from infra.compose_check.stack import Stack
from infra.local.asking import Question, ask
from infra.local.described import document_of
from infra.local.paths import PROJECT
from infra.local.plausible import is_problem
from infra.local.questions import questions
from infra.local.subjects import Subjects
from infra.local.tour import answers

_RECOUNT_S: Final = 600
_NOT_OUTSIDE: Final = "/metrics"
_COMPARED_MS: Final = 20 * MINUTE_MS
"""Bars of so long before the newest one: well within what Redis retains."""


def ask_all(client: httpx.Client, subjects: Subjects) -> int:
    """Ask the smoke test's questions through nginx, and return the number of answers.

    Raises:
        CheckError: some are wrong.
    """
    asked = map(_as_outside, questions(subjects, document_of(client)))
    given = list(answers(time.sleep, partial(ask, client), asked))
    if wrong := [f"{one.question}: {one.problem}" for one in given if one.problem]:
        raise CheckError("\n".join(wrong))
    return len(given)


def recount(stack: Stack) -> str:
    """Compare Redis with a recomputation of the log, and return what was compared.

    Raises:
        CheckError: they differ.
    """
    where = ("--kafka", stack.kafka, "--redis", stack.redis, "--namespace", NAMESPACE)
    try:
        done = subprocess.run(
            (sys.executable, "-m", "tests.chaos.recount", *where),
            cwd=PROJECT,
            capture_output=True,
            text=True,
            timeout=_RECOUNT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise CheckError(f"the log is not recomputed within {_RECOUNT_S} s") from None
    if done.returncode != 0:
        raise CheckError(done.stdout.strip() or done.stderr.strip())
    return done.stdout.strip()


def fixed_answers(client: httpx.Client, subjects: Subjects) -> dict[str, Any]:
    """Return answers that are stable while no records arrive, by path."""
    instrument, user = subjects.instrument_id, subjects.user_id
    bars = f"/v1/instruments/{instrument}/bars"
    # Redis drops the oldest bars as time passes, and the archive catches up with them.
    newest_ms = client.get(f"{bars}?start=0&limit=1000").raise_for_status().json()["bars"][-1]["t"]
    paths = (
        f"{bars}?start={newest_ms - _COMPARED_MS}&limit=1000",
        f"/v1/quotes/latest?instruments={instrument}",
        f"/v1/instruments/{instrument}",
        f"/v1/users/{user}/history",
    )
    said = {path: client.get(path).raise_for_status().json() for path in paths}
    for bar in said[paths[0]]["bars"]:
        del bar["closed"]  # by the clock
    return said


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return what differs between two answers, a line for each field or element."""
    lines = []
    for path, said in before.items():
        then, now = _parts(said), _parts(after.get(path, {}))
        lines += [
            f"{path} {name}: {then.get(name)}, now {now.get(name)}"
            for name in sorted(then.keys() | now.keys())
            if then.get(name) != now.get(name)
        ]
    return lines


def _parts(said: dict[str, Any]) -> dict[str, Any]:
    """Return an answer's fields by name, and the elements of its lists by name and place."""
    parts: dict[str, Any] = {}
    for name, value in said.items():
        if isinstance(value, list):
            parts |= {f"{name}[{place}]": element for place, element in enumerate(value)}
        else:
            parts[name] = value
    return parts


def _as_outside(question: Question) -> Question:
    """Return the question with the answer that nginx gives to outside clients."""
    if question.path != _NOT_OUTSIDE:
        return question
    return replace(question, status=404, check=is_problem("not-found"))
