"""Pipelines of commands to Redis, on a node or a cluster, and values that are corrupt."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, Final

from redis.exceptions import ResponseError

from runtime.redis.stores import Store

COMMANDS_PER_PIPELINE: Final = 200
"""Each pipeline is a round trip, and its answers are in memory together."""
WRONG_TYPE: Final = "WRONGTYPE"
"""Prefix of Redis's error if a key holds another type of value than requested."""
_RAISE: Final = object()


class CorruptValueError(ValueError):
    """A value in Redis is not what `contracts.keyspace` says."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(
            f"{key} in Redis is not as the stream processors write it: {problem}. "
            "Repair or delete that key"
        )


@contextmanager
def named(key: str) -> Iterator[None]:
    """Name the key in the error if it holds another type of value than requested.

    Raises:
        CorruptValueError: it does.
    """
    try:
        yield
    except ResponseError as error:
        if str(error).startswith(WRONG_TYPE):
            raise CorruptValueError(key, str(error)) from error
        raise


def ask_each(
    store: Store,
    keys: Iterable[str],
    ask: Callable[[Any, str], object],
    if_wrong_type: Any = _RAISE,
) -> list[Any]:
    """Return the answer for each key, in order.

    Args:
        store: what is asked.
        keys: what about.
        ask: puts its one command into the pipeline.
        if_wrong_type: the answer for a key that holds another kind of value.

    Raises:
        CorruptValueError: a key does, and nothing stands for its answer.
        redis.exceptions.RedisError: Redis is unreachable, or refuses.
    """
    answers: list[Any] = []
    remaining = iter(keys)
    while chunk := list(islice(remaining, COMMANDS_PER_PIPELINE)):
        pipeline = store.pipeline(transaction=False)
        for key in chunk:
            ask(pipeline, key)
        replies = pipeline.execute(raise_on_error=False)
        answers += [_taken(*pair, if_wrong_type) for pair in zip(chunk, replies, strict=True)]
    return answers


def _taken(key: str, answer: Any, if_wrong_type: Any) -> Any:
    if not isinstance(answer, Exception):
        return answer
    if not (isinstance(answer, ResponseError) and str(answer).startswith(WRONG_TYPE)):
        raise answer
    if if_wrong_type is _RAISE:
        raise CorruptValueError(key, str(answer)) from answer
    return if_wrong_type


SHOWN: Final = 5
"""How many are shown; more of the same would add nothing."""
MOST_SHARE: Final = 0.01
"""If more are corrupt, the fault is in what reads or writes them, not in the values."""
_MOST_SHOWN: Final = 60
"""Characters of a value: it may be of any length."""


def shown(value: str | bytes) -> str:
    """Return a value as a person can read it, cut if it is long.

    >>> shown(b"seven"), shown("x" * 61)[-5:]
    ("'seven'", "xxx'…")
    """
    text = value if isinstance(value, str) else value.decode(errors="replace")
    return repr(text[:_MOST_SHOWN]) + "…" * (len(text) > _MOST_SHOWN)


class Quarantine:
    """Keys that are left out, of the rows of one matrix."""

    def __init__(self) -> None:
        self.n = 0
        """how many"""
        self.shown: list[str] = []
        """`key: problem` of the first ones"""
        self._first: tuple[str, str] | None = None

    def add(self, key: str, problem: str) -> None:
        """Leave a key out."""
        self._first = self._first or (key, problem)
        self.n += 1
        if len(self.shown) < SHOWN:
            self.shown.append(f"{key}: {problem}")

    def check(self, of: int) -> None:
        """Tolerate a few corrupt values.

        Args:
            of: how many keys there are.

        Raises:
            CorruptValueError: too many are.
        """
        if self._first and self.n > max(SHOWN, MOST_SHARE * of):
            key, problem = self._first
            raise CorruptValueError(
                key, f"{problem}, and {self.n - 1:,} more of {of:,} keys are not"
            )
