"""Puts a generation into Redis: whole before it is served, and gone after it is not.

1. Claim: the fence in `model:current` is raised to ours, so that no earlier trainer can serve what
   it still writes. What earlier ones left behind is then dead for certain, and gets an end.
2. Register the generation in `model:generations`, and note each key in `model:<g>:keys` before it
   is written: whenever a trainer dies, every key that it wrote is known.
3. Serve: `model:current` flips to the generation, if its fence is still ours.
4. The generation that was replaced gets an end, as any that is registered, not served, and of a
   lower fence. If a trainer dies before that, the next one does it.

Whatever changes `model:current` compares it with what was read before, in one script call on that
one key: so it goes on a cluster as well. A client's retry after a broken connection does no harm.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import islice
from typing import Any, Final

import msgspec
from redis.exceptions import RedisError

from contracts.keyspace import (
    DEFAULT_VARIANT,
    REPLACED_GENERATION_TTL_S,
    Current,
    Keyspace,
    Served,
)
from runtime.stores import Store
from trainer.pipelines import COMMANDS_PER_PIPELINE, ask_each

_REPLACE: Final = """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""

_current = msgspec.json.Decoder(Current)


class SupersededError(RuntimeError):
    """A trainer with a higher fencing token has published, or is about to."""


def generation_id(now: datetime, fence: int) -> str:
    """Return an id that sorts by time.

    >>> from datetime import UTC
    >>> generation_id(datetime(2021, 8, 16, 23, 32, 5, tzinfo=UTC), 17)
    '20210816T233205Z-17'
    """
    return f"{now:%Y%m%dT%H%M%SZ}-{fence}"


def read_current(store: Store, keyspace: Keyspace) -> Current | None:
    """Return what is served, None if nothing ever was."""
    stored = store.get(keyspace.model_current())
    return _current.decode(stored) if stored else None


class Publication:
    """A generation in the making."""

    def __init__(self, store: Store, keyspace: Keyspace, generation: str, fence: int) -> None:
        self.generation = generation
        self.fence = fence
        self._store = store
        self._keyspace = keyspace

    def write(self, values: Mapping[str, bytes]) -> None:
        """Write keys of the generation."""
        remaining = iter(values.items())
        while chunk := dict(islice(remaining, COMMANDS_PER_PIPELINE)):
            self._store.sadd(self._keyspace.model_keys(self.generation), *chunk)
            ask_each(self._store, chunk, lambda pipeline, key: pipeline.set(key, chunk[key]))

    def claim(self) -> None:
        """Shut out earlier trainers, end what they left behind, and register the generation.

        Raises:
            SupersededError: a trainer with a higher fencing token has claimed to publish.
        """
        while not self._replaced_current(lambda current: current.fence <= self.fence, None):
            pass
        self._end_replaced()
        self._store.zadd(self._keyspace.model_generations(), {self.generation: self.fence})
        keys = self._keyspace.model_keys(self.generation)
        self._store.sadd(keys, keys)

    def serve(self, model: str, user_model: str) -> None:
        """Let readers have this generation, whose keys are all written.

        Raises:
            SupersededError: a trainer with a higher fencing token has claimed to publish, or our
                own claim is gone, and with it whatever else Redis lost.
        """
        served = {DEFAULT_VARIANT: Served(self.generation, model, user_model)}
        while not self._replaced_current(lambda current: current.fence == self.fence, served):
            pass
        self._end_replaced()

    def _replaced_current(
        self, allows: Callable[[Current], bool], variants: dict[str, Served] | None
    ) -> bool:
        """Put our fence, and the variants if given, into `model:current`, if it allows that.

        Returns whether it did; if not, something else changed it meanwhile.
        """
        key = self._keyspace.model_current()
        stored = self._store.get(key) or ""
        current = _current.decode(stored) if stored else Current(0, {})
        if not allows(current):
            raise SupersededError(
                f"{key} has fence {current.fence}, generation {self.generation} has {self.fence}: "
                "another trainer took over, or Redis lost data; this generation is not served"
            )
        changed = Current(self.fence, current.variants if variants is None else variants)
        return bool(self._store.eval(_REPLACE, 1, key, stored, msgspec.json.encode(changed)))

    def _end_replaced(self) -> None:
        """Give an end to generations that are not served and cannot be any more."""
        current = read_current(self._store, self._keyspace)
        if current is None:  # pragma: no cover (someone deleted it this moment)
            return
        served = {variant.generation for variant in current.variants.values()}
        registered = self._keyspace.model_generations()
        dead: Any = self._store.zrangebyscore(registered, "-inf", f"({current.fence}")
        for generation in dead:
            if generation not in served:
                self.end(generation)

    def end(self, generation: str) -> None:
        """Let the keys of a generation live only as long as its last readers may need them."""
        keys = self._store.sscan_iter(self._keyspace.model_keys(generation), count=1_000)
        ask_each(
            self._store,
            keys,
            lambda pipeline, key: pipeline.expire(key, REPLACED_GENERATION_TTL_S),
        )
        self._store.zrem(self._keyspace.model_generations(), generation)


@contextmanager
def publication(
    store: Store, keyspace: Keyspace, generation: str, fence: int
) -> Iterator[Publication]:
    """Prepare a generation; when the context ends well, all its keys must be written.

    If it ends with an exception, the generation gets an end. It cannot have been served: `serve` is
    called after the context.

    Raises:
        SupersededError: a trainer with a higher fencing token has claimed to publish.
    """
    made = Publication(store, keyspace, generation, fence)
    made.claim()
    try:
        yield made
    except BaseException:
        with suppress(RedisError):  # then the next trainer does it
            made.end(generation)
        raise
