"""Puts a generation into Redis: complete before it is served, and gone afterwards.

1. Claim: the fence in `model:current` is raised to ours, so that no earlier trainer can serve what
   it still writes. What earlier ones left behind is then certainly dead, and expires.
2. Register the generation in `model:generations`, and note each key in `model:<g>:keys` before it
   is written: whenever a trainer dies, every key that it wrote is known.
3. Serve: `model:current` flips to the generation, as a variant or as a canary, if its fence is
   still ours.
4. A generation that is no longer named there expires, as does any that is registered, not named,
   and of a lower fence. If a trainer dies before that, the next one does it.

Every change of `model:current` is a compare-and-set in one script call on that one key, so it works
on a cluster as well. A client's retry after a broken connection does no harm. The changes and the
script are in `contracts.pointer`.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import islice
from typing import Any, Final

import msgspec
from redis.exceptions import RedisError

from contracts.generations import DEFAULT_VARIANT, Canary, Current, Served, decode_current
from contracts.keyspace import REPLACED_GENERATION_TTL_S, Keyspace
from contracts.pointer import REPLACE_SCRIPT, named, on_trial, only, serving
from runtime.redis.stores import Store
from trainer.reading import COMMANDS_PER_PIPELINE, ask_each

_NOTHING: Final = Current(0, {})


class SupersededError(RuntimeError):
    """A trainer with a higher fencing token has published, or is about to."""


class HeldError(RuntimeError):
    """An operator rolled back, and nothing is published until one asks for it."""


def generation_id(now: datetime, fence: int, place: int = 0) -> str:
    """Return an id that sorts by time.

    Args:
        now: when the run began.
        fence: the run's fencing token.
        place: of the variant that it is for; the default variant's is 0.

    >>> from datetime import UTC
    >>> generation_id(datetime(2021, 8, 16, 23, 32, 5, tzinfo=UTC), 17)
    '20210816T233205Z-17'
    >>> generation_id(datetime(2021, 8, 16, 23, 32, 5, tzinfo=UTC), 17, 1)
    '20210816T233205Z-17-1'
    """
    return f"{now:%Y%m%dT%H%M%SZ}-{fence}{f'-{place}' if place else ''}"


def read_current(store: Store, keyspace: Keyspace) -> Current | None:
    """Return what is served, None if nothing ever was."""
    stored = store.get(keyspace.model_current())
    return decode_current(stored)


def change_current(
    store: Store, keyspace: Keyspace, change: Callable[[Current], Current]
) -> tuple[Current, Current]:
    """Replace `model:current` by what `change` makes of it; return the old and the new value.

    If it changes concurrently, `change` is called again; its exceptions propagate.
    """
    key = keyspace.model_current()
    while True:
        stored = store.get(key) or ""
        before = decode_current(stored) or _NOTHING
        after = change(before)
        if store.eval(REPLACE_SCRIPT, 1, key, stored, msgspec.json.encode(after)):
            return before, after


def end_generation(store: Store, keyspace: Keyspace, generation: str) -> None:
    """Expire the keys of a generation after its last readers may need them."""
    list_of_keys = keyspace.model_keys(generation)
    keys = (key for key in store.sscan_iter(list_of_keys, count=1_000) if key != list_of_keys)
    ask_each(store, keys, lambda pipeline, key: pipeline.expire(key, REPLACED_GENERATION_TTL_S))
    # Last: expired with the others, it could vanish while being read, and its keys would stay.
    store.expire(list_of_keys, REPLACED_GENERATION_TTL_S)
    store.zrem(keyspace.model_generations(), generation)


def end_unnamed(store: Store, keyspace: Keyspace, before: Current, after: Current) -> None:
    """Expire the generations that a change removed from `model:current`."""
    for generation in sorted(named(before) - named(after)):
        end_generation(store, keyspace, generation)


class Publication:
    """A generation being written."""

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
        """Fence off earlier trainers, expire what they left behind, and register the generation.

        Raises:
            SupersededError: a trainer with a higher fencing token has claimed to publish.
        """

        def claimed(current: Current) -> Current:
            if current.fence > self.fence:
                raise self._superseded(current)
            return msgspec.structs.replace(current, fence=self.fence)

        _, current = change_current(self._store, self._keyspace, claimed)
        self._end_dead(current)
        self._store.zadd(self._keyspace.model_generations(), {self.generation: self.fence})
        keys = self._keyspace.model_keys(self.generation)
        self._store.sadd(keys, keys)

    def serve(
        self,
        served: Served,
        *,
        variant: str = DEFAULT_VARIANT,
        keep: int = 0,
        release: bool = True,
    ) -> None:
        """Serve this generation, whose keys are all written.

        Args:
            served: this generation, and how answers are made from its lists.
            variant: whose users get it.
            keep: how many generations before it can be rolled back to.
            release: publish though an operator rolled back and nobody asked for more since.

        Raises:
            SupersededError: a trainer with a higher fencing token has claimed to publish, or our
                own claim is gone, and with it everything else that Redis lost.
            HeldError: an operator rolled back in the meantime.
        """
        self._flip(lambda current: serving(current, variant, served, keep), release=release)

    def try_out(
        self,
        canary: Canary,
        *,
        release: bool,
    ) -> None:
        """Serve this generation to a share of the default variant's users, as `serve` does.

        Raises:
            SupersededError, HeldError: as `serve` does.
            UndecidableError: nothing is served that it could be compared with.
        """
        self._flip(lambda current: on_trial(current, canary), release=release)

    def withdraw_others(self, variants: frozenset[str]) -> None:
        """Stop serving variants other than the default one and `variants`.

        Raises:
            SupersededError: as `serve` does.
        """
        self._flip(lambda current: only(current, variants), release=True)

    def end(self) -> None:
        """Expire the generation."""
        end_generation(self._store, self._keyspace, self.generation)

    def _flip(self, change: Callable[[Current], Current], *, release: bool) -> None:
        def flipped(current: Current) -> Current:
            if current.fence != self.fence:
                raise self._superseded(current)
            if current.held and not release:
                # No later trainer can expire it while this runs.
                self.end()
                raise HeldError(
                    "a person rolled back, so nothing is published: `python -m trainer once` "
                    "trains and publishes again"
                )
            return change(current)

        before, after = change_current(self._store, self._keyspace, flipped)
        end_unnamed(self._store, self._keyspace, before, after)

    def _superseded(self, current: Current) -> SupersededError:
        return SupersededError(
            f"{self._keyspace.model_current()} has fence {current.fence}, generation "
            f"{self.generation} has {self.fence}: another trainer took over, or Redis lost data; "
            "this generation is not served"
        )

    def _end_dead(self, current: Current) -> None:
        """Expire generations that are named nowhere and can no longer be served."""
        kept = named(current)
        registered = self._keyspace.model_generations()
        dead: Any = self._store.zrangebyscore(registered, "-inf", f"({current.fence}")
        for generation in dead:
            if generation not in kept:
                end_generation(self._store, self._keyspace, generation)


@contextmanager
def publication(
    store: Store, keyspace: Keyspace, generation: str, fence: int
) -> Iterator[Publication]:
    """Prepare a generation; when the context exits normally, all its keys must be written.

    On an exception, the generation expires. It cannot have been served: `serve` is called after
    the context.

    Raises:
        SupersededError: a trainer with a higher fencing token has claimed to publish.
    """
    made = Publication(store, keyspace, generation, fence)
    made.claim()
    try:
        yield made
    except BaseException:
        with suppress(RedisError):  # then the next trainer does it
            made.end()
        raise
