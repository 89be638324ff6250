"""Reads within one generation: chooses a user's, and handles its expiry during the read.

A process caches the pointer for some milliseconds. Then it refreshes it together with an answer's
first commands, which go to the previously named generation: that saves a round trip, except once
per training. If a read finds nothing, the pointer is read at once.
"""

import math
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec

from api.http.problems import GENERATION_REPLACED, NO_MODEL_YET, NOT_YET, Failure, Problem
from api.redis.reading import Command, Read
from contracts.generations import Current, Served, UnderWay, decode_current
from contracts.keyspace import Keyspace
from contracts.pointer import served_generations, served_to, variant_names

T = TypeVar("T")

decode_under_way: Final = msgspec.json.Decoder(UnderWay | None).decode

POINTER_KEPT_S: Final = 0.02
"""Since the request. The pointer is on one shard of Redis, however many there are: this way, a
process reads it some 50 times a second rather than once for each request that reads lists. That is
safe, as a replaced generation keeps its keys for a minute."""
SEEN_BY_ALL_S: Final = 2 * POINTER_KEPT_S
"""Time until all processes follow a change of the pointer: twice as long, to allow for early timers
and clock drift."""


class NoModelYetError(LookupError, Failure):
    """No generation is published."""

    def __init__(self, under_way: UnderWay | None) -> None:
        super().__init__(NOT_YET)
        if under_way is not None:
            counted = (
                f"{under_way.events:,} interactions are"
                if under_way.events
                else "Interactions are being"
            )
            self.args = (f"{counted} counted; {said(under_way)}",)

    def problem(self) -> Problem:
        """Return the problem that the client gets."""
        return Problem(NO_MODEL_YET, *self.args)


class ExpiredError(LookupError):
    """A part of the generation being read is gone."""


class GenerationReplacedError(LookupError, Failure):
    """Generations were replaced faster than one could be read."""

    def problem(self) -> Problem:
        """Return the problem that the client gets."""
        return Problem(GENERATION_REPLACED, "The model was replaced while it was read: try again")


@dataclass(frozen=True, slots=True)
class Generation:
    """The generation whose lists an answer is made from."""

    variant: str
    served: Served
    """it, and how answers are made from its lists"""

    @property
    def name(self) -> str:
        """The generation's name."""
        return self.served.generation


class Generations:
    """Follows the pointer of one namespace."""

    def __init__(self, keys: Keyspace, now_s: Callable[[], float] = time.monotonic) -> None:
        self._pointer: Command = ("GET", keys.model_current())
        self._under_way: Command = ("GET", keys.model_under_way())
        self._now_s = now_s
        self._asked_s = -math.inf
        """When the last known pointer was requested."""
        self.live: Collection[str] = ()
        """The generations that were served to anyone at that time."""
        self._pointed: bytes | None = None
        self._current: Current | None = None
        """The last known pointer, decoded."""
        self._of_all: Generation | None = None
        """The generation for requests without a user."""
        self._users_differ = False
        """Whether some users are served another generation."""

    def variants(self) -> Read[Collection[str]]:
        """Return the names of the served variants, none before the first model."""
        if self._current is None or not self._is_fresh(self._now_s()):
            yield from self._ask()
        return [] if self._current is None else variant_names(self._current)

    def within_one(
        self, user_id: str | None, read: Callable[[Generation], Read[T | None]]
    ) -> Read[T | None]:
        """Return what `read` finds in a user's generation, None if nothing.

        Finding nothing may also mean that the generation expired during the read: the pointer is
        read again, and if it has moved, the new generation is read, once.

        Args:
            user_id: None for reads that are the same for all users.
            read: reads in one generation; may yield an empty round.

        Raises:
            NoModelYetError: nothing is served yet.
            GenerationReplacedError: the new one was replaced, too.
        """
        generation, begun, answers = yield from self._begun(user_id, read)
        found = yield from _unless_expired(resumed(begun, answers))
        for _ in range(2):
            if found is not None:
                return found
            yield from self._ask()
            latest = yield from self._served(user_id)
            if latest == generation:
                return None
            generation = latest
            found = yield from _unless_expired(resumed(read(generation), None))
        raise GenerationReplacedError

    def is_live(self, generation: Generation) -> Read[bool]:
        """Return whether a generation is served to anyone, by the current pointer."""
        yield from self._ask()
        return generation.name in self.live

    def _begun(
        self, user_id: str | None, read: Callable[[Generation], Read[T | None]]
    ) -> Read[tuple[Generation, Read[T | None], Sequence[Any] | None]]:
        """Return a user's generation, `read` started on it, and its first answers."""
        guess, pointed, now_s = self._of(user_id), self._pointed, self._now_s()
        if guess is None:
            yield from self._ask()
        elif self._is_fresh(now_s):
            return guess, read(guess), None
        else:
            begun = read(guess)
            *answers, value = yield [*next(begun), self._pointer]
            self._look(value, now_s)
            if value == pointed or self._of(user_id) == guess:
                return guess, begun, answers
            begun.close()
        generation = yield from self._served(user_id)
        return generation, read(generation), None

    def _served(self, user_id: str | None) -> Read[Generation]:
        """Return a user's generation.

        Raises:
            NoModelYetError: nothing is served.
        """
        generation = self._of(user_id)
        if generation is None:
            (value,) = yield [self._under_way]
            raise NoModelYetError(decode_under_way(value or "null"))
        return generation

    def _of(self, user_id: str | None) -> Generation | None:
        if user_id is None or not self._users_differ or self._current is None:
            return self._of_all
        return _generation(user_id, self._current)

    def _is_fresh(self, now_s: float) -> bool:
        return now_s < self._asked_s + POINTER_KEPT_S

    def _ask(self) -> Read[None]:
        """Read the pointer."""
        asked_s = self._now_s()
        (value,) = yield [self._pointer]
        self._look(value, asked_s)

    def _look(self, value: bytes | None, asked_s: float) -> None:
        """Update the pointer, unless a later one is known."""
        if asked_s < self._asked_s:
            return
        self._asked_s = asked_s
        if value == self._pointed:
            return
        self._pointed = value
        current = self._current = decode_current(value)
        self.live = () if current is None else served_generations(current)
        self._of_all = None if current is None else _generation(None, current)
        self._users_differ = current is not None and bool(current.experiment or current.canary)


def said(under_way: UnderWay) -> str:
    """Return which lists are made since when."""
    return f"new lists are being made since {under_way.since[11:19]} UTC"


def _generation(user_id: str | None, current: Current) -> Generation | None:
    found = served_to(user_id, current)
    if found is None:
        return None
    return Generation(*found)


def _unless_expired(read: Read[T | None]) -> Read[T | None]:
    """Return what a read finds; nothing if its generation expired in between."""
    try:
        return (yield from read)
    except ExpiredError:
        return None


def resumed(begun: Read[T], answers: Sequence[Any] | None) -> Read[T]:
    """Continue a read from the answers to its first commands; without any, from its start.

    If it yields no commands, it continues at once.
    """
    try:
        commands = begun.send(answers)  # type: ignore[arg-type]
        while True:
            answers = (yield commands) if commands else ()
            commands = begun.send(answers)
    except StopIteration as returned:
        found: T = returned.value
        return found
