"""Many commands to Redis at once, on a node or a cluster, and what a bad answer raises."""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, Final

from runtime.stores import Store

COMMANDS_PER_PIPELINE: Final = 200
"""Each pipeline is a round trip, and its answers are in memory together."""


class CorruptValueError(ValueError):
    """A value in Redis is not what `contracts.keyspace` says."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(
            f"{key} in Redis is not as the stream processors write it: {problem}. "
            "Repair or delete that key"
        )


def ask_each(store: Store, keys: Iterable[str], ask: Callable[[Any, str], object]) -> list[Any]:
    """Return the answer for each key, in order; `ask` puts its one command into the pipeline."""
    answers: list[Any] = []
    remaining = iter(keys)
    while chunk := list(islice(remaining, COMMANDS_PER_PIPELINE)):
        pipeline = store.pipeline(transaction=False)
        for key in chunk:
            ask(pipeline, key)
        answers += pipeline.execute()
    return answers
