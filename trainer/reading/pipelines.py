"""Pipelines of commands to Redis, on a node or a cluster, and the errors of bad answers."""

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
