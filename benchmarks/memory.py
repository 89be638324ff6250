"""The memory of an API process that recommends to a million users, one after the other.

Hypothesis: what an API process keeps is bounded in bytes, so its memory stays flat however many
users it has answered.

Work: one API process as `python -m api` starts it, and Valkey. Each user is asked for once, with
n=100, on 64 connections. The user has a list of 100 instruments with three reasons each, as the
trainer makes it, from the current history: the largest answer that a server caches. Users are
written to the store some thousands at a time, just before they are asked for, and taken out then,
so the store stays small. A 503, as on a machine that is busy with something else, is
retried. Any other answer that is no 200, or has not 100 instruments, ends the benchmark.

Baseline: none. The memory of the first tenth, in which what is kept fills up, is what the rest must
stay at.
"""

import asyncio
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Annotated, Final, NamedTuple

import msgspec
import numpy as np
import psutil
import typer
import uvloop

from benchmarks.harness import session
from benchmarks.harness.asking import Answer, Connection, connected
from benchmarks.harness.bulk import Command, write
from benchmarks.harness.contender import RUN_WITHIN_S, ContenderError
from benchmarks.harness.namespace import Namespace
from benchmarks.harness.report import Report, conditions, table
from benchmarks.harness.rounds import Run, busy_neighbors
from benchmarks.harness.stage import Stage
from benchmarks.harness.timing import timed
from contracts.generations import (
    DEFAULT_VARIANT,
    Current,
    PopularList,
    Recommendation,
    Served,
    UserList,
)
from contracts.keyspace import OFFSET_FIELD, HistoryEntry
from contracts.partitioning import user_partition

N: Final = 100
_LOOKS: Final = 10
"""at the memory, evenly over the users"""
_FLAT: Final = 1.05
"""times the memory after the first tenth, at most, that is still flat: Python's allocator gives
nothing back, and what is kept changes a little in size"""
_CONNECTIONS: Final = 64
_USERS_AT_A_TIME: Final = 5_000
_INSTRUMENTS: Final = 50_000
_LISTS: Final = 997
"""different ones, shared by the users"""
_REASONS: Final = 3
_SEED: Final = 1
_GENERATION: Final = "20210816T233205Z-1"
_MODEL: Final = "user-knn"

_encode: Final = msgspec.json.Encoder().encode


class Look(NamedTuple):
    """The API's memory at some moment."""

    users: int
    rss_mb: float


def memory(
    users: Annotated[int, typer.Option(min=100, help="that are asked for, once each")] = 1_000_000,
    *,
    json: session.Json = False,
) -> None:
    """The API's memory while it recommends to ever more users."""
    with session.on_stage() as stage:
        session.present(measure(stage, users), json=json)


def measure(stage: Stage, users: int) -> Report:
    """Ask for so many users, and note the API's memory.

    Raises:
        ContenderError: an answer is not what it must be.
    """
    namespace = stage.namespace()
    write(stage.store.address, _generation(namespace))
    lists = _lists()
    runs: dict[str, Run] = {}
    with stage.api(namespace) as (pid, port):
        looks = [_look(pid, 0)]
        with timed(runs, "memory", users, {"api": pid, **stage.pids}):
            for number in range(_LOOKS):
                first, end = (users * place // _LOOKS for place in (number, number + 1))
                for at in range(first, end, _USERS_AT_A_TIME):
                    some = range(at, min(at + _USERS_AT_A_TIME, end))
                    write(stage.store.address, _users(namespace, lists, some))
                    uvloop.run(_ask(port, some))
                    write(stage.store.address, _gone(namespace, some))
                looks.append(_look(pid, end))
                said = f"{end:,} users: {looks[-1].rss_mb:.0f} MB"
                session.progress.print(said, style="dim")
    return _report(stage, looks, runs["memory"])


def is_flat(looks: Sequence[Look]) -> bool:
    """Return whether the memory stayed at what it was after the first tenth.

    >>> is_flat([Look(0, 90), Look(10, 300), Look(20, 310), Look(30, 305)])
    True
    >>> is_flat([Look(0, 90), Look(10, 300), Look(20, 310), Look(30, 320)])
    False
    """
    _, filled, *rest = looks
    return max(look.rss_mb for look in rest) <= _FLAT * filled.rss_mb


def _look(pid: int, users: int) -> Look:
    return Look(users, psutil.Process(pid).memory_info().rss / 1e6)


def _report(stage: Stage, looks: Sequence[Look], run: Run) -> Report:
    flat = is_flat(looks)
    users, rss_mb = looks[-1]
    work = f"recommendations to {users:,} users, n={N}, each asked for once"
    figures = {
        "name": "memory",
        "work": work,
        "value": round(rss_mb, 1),
        "unit": "MB",
        "baseline": None,
        "ratio": None,
        "looks": [look._asdict() for look in looks],
        "flat": flat,
        "users_a_second": round(run.rate),
        **stage.servers._asdict(),
    }
    style, said = ("green", "flat") if flat else ("red", "not flat")
    rows = [(f"{look.users:,}", f"{look.rss_mb:.0f}") for look in looks]
    printed = (
        f"[bold]{work}[/]",
        table(("users", "api, MB"), rows),
        f"[{style}]{said}[/] after the first tenth; {run.rate:,.0f} users/s",
        conditions(*stage.servers, busy_neighbors([run])),
    )
    return Report([figures], printed)


def _user_id(number: int) -> str:
    return f"user-{number}"


def _generation(namespace: Namespace) -> Iterator[Command]:
    """Return what makes the users' lists readable."""
    keys = namespace.keys
    yield "SET", keys.model_popular(_GENERATION), _encode(PopularList("popular", []))
    current = Current(1, {DEFAULT_VARIANT: Served(_GENERATION, "cosine", _MODEL)})
    yield "SET", keys.model_current(), _encode(current)


def _lists() -> list[tuple[bytes, bytes]]:
    """Return encoded lists, each as what comes before its user's number, and what after."""
    rng, made = np.random.default_rng(_SEED), []
    mark = 1 << 60  # in place of a user's number
    for _ in range(_LISTS):
        items = [str(item) for item in rng.choice(_INSTRUMENTS, N + _REASONS, replace=False)]
        recommended = [
            Recommendation(
                items[place], 1 / (1.37 + place), items[place + 1 : place + 1 + _REASONS]
            )
            for place in range(N)
        ]
        before, _, after = _encode(UserList(_MODEL, (0, mark), recommended)).partition(b"%d" % mark)
        made.append((before, after))
    return made


def _users(
    namespace: Namespace, lists: Sequence[tuple[bytes, bytes]], users: range
) -> Iterator[Command]:
    """Return the history and the list of each user; the history's offset is the user's number."""
    keys, entry = namespace.keys, _encode(HistoryEntry(1.0, 1))
    for user in users:
        before, after = lists[user % len(lists)]
        yield "HSET", _history(namespace, user), b"1", entry, OFFSET_FIELD, b"[0,%d]" % user
        own = b"%b%d%b" % (before, user, after)
        yield "SET", keys.model_user(_GENERATION, _user_id(user)), own


def _gone(namespace: Namespace, users: range) -> Iterator[Command]:
    for user in users:
        own = namespace.keys.model_user(_GENERATION, _user_id(user))
        yield "DEL", own
        yield "DEL", _history(namespace, user)


def _history(namespace: Namespace, user: int) -> str:
    partition = user_partition(_user_id(user), namespace.topology.interactions)
    return namespace.keys.history(partition, _user_id(user))


async def _ask(port: int, users: range) -> None:
    """Ask for each user once, on all connections.

    Raises:
        ContenderError: an answer is not what it must be.
    """
    left, asked = iter(users), dict[Connection, int]()
    outstanding, done = len(users), asyncio.get_running_loop().create_future()

    def ask(connection: Connection, user: int | None) -> None:
        if user is not None:
            asked[connection] = user
            path = f"/v1/users/{_user_id(user)}/recommendations?n={N}"
            connection.ask(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())

    def take(connection: Connection, answer: Answer) -> None:
        nonlocal outstanding
        if done.done():
            return
        if answer.status == HTTPStatus.SERVICE_UNAVAILABLE:
            ask(connection, asked[connection])
            return
        outstanding -= 1
        if answer.status != HTTPStatus.OK or answer.body.count(b'"because"') != N:
            said = answer.body[:300].decode()
            done.set_exception(ContenderError(f"the API said {answer.status}: {said}"))
        elif not outstanding:
            done.set_result(None)
        ask(connection, next(left, None))

    connections = [await connected(port, take) for _ in range(_CONNECTIONS)]
    for connection in connections:
        ask(connection, next(left, None))
    try:
        async with asyncio.timeout(RUN_WITHIN_S):
            await done
    finally:
        for connection in connections:
            connection.transport.close()
