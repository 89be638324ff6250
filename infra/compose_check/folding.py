"""Checks whether the workers share all partitions, and have folded the logs."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from contracts.keyspace import NEXT_FIELD, Keyspace
from contracts.topics import COOCCURRENCES, INTERACTIONS, QUOTES, STREAMED, Topic
from infra.compose_check.engine import docker
from infra.compose_check.stack import Stack
from infra.compose_check.waiting import Problem
from runtime.kafka.broker import log_ends
from runtime.kafka.config import plain
from runtime.redis.stores import connect
from runtime.settings import SharedSettings

NAMESPACE: Final[str] = SharedSettings.model_fields["namespace"].default
_HEALTH: Final = """\
import urllib.error, urllib.request
try:
    answer = urllib.request.urlopen("http://127.0.0.1:9101/health", timeout=4)
except urllib.error.HTTPError as unhealthy:
    answer = unhealthy
print(answer.read().decode())
"""
_AT_WORK: Final = ("folding", "flushing")
_IN_ORDER: Final = (QUOTES, INTERACTIONS, COOCCURRENCES)
"""In pipeline order: once interactions are folded, no more changes of counts follow."""


def shared(stack: Stack, workers: int) -> Problem:
    """Check that so many workers fold all partitions, each of them some."""
    expected = {f"{topic.name}/{n}" for topic in STREAMED for n in range(topic.partitions)}

    def problem() -> str | None:
        said = [_health(one.id) for one in stack.containers("worker") if one.status == "running"]
        return unshared(expected, workers, said)

    return problem


def unshared(expected: set[str], workers: int, said: list[dict[str, Any]]) -> str | None:
    """Describe partitions that no worker or several fold; None if there are none.

    Args:
        expected: the partitions, as `quotes/0`.
        workers: how many there should be.
        said: each worker's response at /health.
    """
    if len(said) != workers:
        return f"{len(said)} workers run instead of {workers}"
    states = [(name, one["state"]) for each in said for name, one in each["partitions"].items()]
    folding = Counter(name for name, state in states if state in _AT_WORK)
    if missing := expected - folding.keys():
        counts = dict(Counter(state for _, state in states))
        return f"{len(missing)} of {len(expected)} partitions are not folded: {counts}"
    if twice := [name for name, n in folding.items() if n > 1]:
        return f"folded by several workers: {', '.join(sorted(twice))}"
    return None if all(one["partitions"] for one in said) else "a worker has no partition"


def folded(stack: Stack) -> Problem:
    """Check whether everything in the logs at the first call is folded, topic by topic."""
    left = list(_IN_ORDER)
    ends: dict[int, int] = {}

    def problem() -> str | None:
        nonlocal ends
        while left:
            topic = left[0]
            ends = ends or log_ends(plain(stack.kafka), topic.name, topic.partitions)
            if behind := sum(max(0, ends[n] - at) for n, at in _positions(stack, topic)):
                return f"{behind:,} records of {topic.name} are not folded"
            left.pop(0)
            ends = {}
        return None

    return problem


def _positions(stack: Stack, topic: Topic) -> Iterator[tuple[int, int]]:
    """Yield the partitions of a topic with their next offsets, as Redis has them."""
    keyspace = Keyspace(NAMESPACE)
    with connect(stack.redis, "tickrec-compose-check") as store:
        for n in range(topic.partitions):
            yield n, int(store.hget(keyspace.position(topic, n), NEXT_FIELD) or 0)


def _health(container: str) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(docker("exec", container, "python", "-c", _HEALTH))
    return said
