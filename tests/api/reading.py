"""Runs a read round by round, so that a test can change what is served in between."""

from collections.abc import Sequence
from typing import Any, TypeVar

from redis import Redis

from api.redis.reading import Read

from .conftest import Filled

T = TypeVar("T")


def run(
    read: Read[T],
    raw: Redis,
    filled: Filled,
    flips: Sequence[str] = (),
    rounds: list[int] | None = None,
) -> T:
    """Run a read, and flip the pointer after each of its first rounds that looks at it.

    The number of commands of each round is added to `rounds`.
    """
    left = list(flips)
    pointer = filled.keys.model_current()
    answers: list[Any] | None = None
    while True:
        try:
            commands = read.send(answers)  # type: ignore[arg-type]
        except StopIteration as returned:
            found: T = returned.value
            return found
        if rounds is not None:
            rounds.append(len(commands))
        pipeline = raw.pipeline(transaction=False)
        for command in commands:
            # Its parsed answers are not what a connection hands out.
            pipeline.execute_command(*command, NEVER_DECODE=True)
        answers = [flat(answer) for answer in pipeline.execute()]
        if left and any(command[1] == pointer for command in commands):
            filled.point_to(left.pop(0))


def flat(answer: object) -> object:
    """Return an answer as it comes: redis-py makes a dict of a hash."""
    if not isinstance(answer, dict):
        return answer
    return [part for field in answer.items() for part in field]
