"""Reading within one generation: which one a user is served, and what if it goes meanwhile.

The pointer is read together with an answer's first commands, which are asked of the generation that
it named the last time: that saves a round trip but for once a training.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from api.http.problems import GENERATION_REPLACED, NO_MODEL_YET, Failure, Problem
from api.redis.reading import Command, Read
from contracts.fold_in import FoldIn
from contracts.generations import Current
from contracts.keyspace import Keyspace
from contracts.variants import served_generations, served_to, variant_names

T = TypeVar("T")

_current = msgspec.json.Decoder(Current)


class NoModelYetError(LookupError, Failure):
    """No generation is published."""

    def problem(self) -> Problem:
        """Return the problem that it is for a client."""
        detail = "The trainer has not published a model yet: try again after its next run"
        return Problem(NO_MODEL_YET, detail)


class ExpiredError(LookupError):
    """A part of the generation that is read is gone."""


class GenerationReplacedError(LookupError, Failure):
    """Generations were replaced faster than one could be read."""

    def problem(self) -> Problem:
        """Return the problem that it is for a client."""
        return Problem(GENERATION_REPLACED, "The model was replaced while it was read: try again")


@dataclass(frozen=True, slots=True)
class Generation:
    """The lists that one answer is made of."""

    variant: str
    name: str
    fold_in: FoldIn
    """how histories are folded into them"""


class Generations:
    """Follows the pointer of one namespace."""

    def __init__(self, keys: Keyspace) -> None:
        self.pointer: Command = ("GET", keys.model_current())
        """The command whose answer says what is served."""
        self.live: Collection[str] = ()
        """The generations that were served to anyone when that was asked last."""
        self._pointed: bytes | None = None
        self._current: Current | None = None
        """What the pointer held last, decoded."""
        self._of_all: Generation | None = None
        """What that serves to whoever no user is."""
        self._users_differ = False
        """Whether it serves something else to some users."""

    def variants(self) -> Read[Collection[str]]:
        """Return the names of the variants that are served, none before the first model."""
        (value,) = yield [self.pointer]
        self._look(value)
        return [] if self._current is None else variant_names(self._current)

    def within_one(
        self, user_id: str | None, read: Callable[[Generation], Read[T | None]]
    ) -> Read[T | None]:
        """Return what `read` finds in the generation that a user is served, None if nothing.

        Finding nothing may also mean that the generation expired under the reader: if the pointer
        has moved meanwhile, the new one is read, once.

        Args:
            user_id: None for what is the same for all users.
            read: reads in one generation.

        Raises:
            NoModelYetError: nothing is served yet.
            GenerationReplacedError: the new one was replaced, too.
        """
        generation, begun, answers = yield from self._begun(user_id, read)
        found = yield from _unless_expired(resumed(begun, answers))
        for _ in range(2):
            if found is not None:
                return found
            (value,) = yield [self.pointer]
            latest = self._served(value, user_id)
            if latest == generation:
                return None
            generation = latest
            found = yield from _unless_expired(read(generation))
        raise GenerationReplacedError

    def is_live(self, value: bytes | None, generation: Generation) -> bool:
        """Return whether a generation is served to anyone, by the answer to `pointer`."""
        self._look(value)
        return generation.name in self.live

    def _begun(
        self, user_id: str | None, read: Callable[[Generation], Read[T | None]]
    ) -> Read[tuple[Generation, Read[T | None], Sequence[Any] | None]]:
        """Return what a user is served, `read` begun on it, and what its first commands found."""
        guess, pointed = self._of(user_id), self._pointed
        if guess is None:
            (value,) = yield [self.pointer]
        else:
            begun = read(guess)
            *answers, value = yield [*next(begun), self.pointer]
            if value == pointed or self._served(value, user_id) == guess:
                return guess, begun, answers
            begun.close()
        generation = self._served(value, user_id)
        return generation, read(generation), None

    def _served(self, value: bytes | None, user_id: str | None) -> Generation:
        """Return what a user is served, by the answer to `pointer`.

        Raises:
            NoModelYetError: nothing is.
        """
        self._look(value)
        generation = self._of(user_id)
        if generation is None:
            raise NoModelYetError
        return generation

    def _of(self, user_id: str | None) -> Generation | None:
        if user_id is None or not self._users_differ or self._current is None:
            return self._of_all
        return _generation(user_id, self._current)

    def _look(self, value: bytes | None) -> None:
        """Take in the answer to `pointer`."""
        if value == self._pointed:
            return
        self._pointed = value
        current = self._current = None if value is None else _current.decode(value)
        self.live = () if current is None else served_generations(current)
        self._of_all = None if current is None else _generation(None, current)
        self._users_differ = current is not None and bool(current.experiment or current.canary)


def _generation(user_id: str | None, current: Current) -> Generation | None:
    found = served_to(user_id, current)
    if found is None:
        return None
    variant, served = found
    return Generation(variant, served.generation, served.fold_in)


def _unless_expired(read: Read[T | None]) -> Read[T | None]:
    """Return what a read finds; nothing if its generation expired meanwhile."""
    try:
        return (yield from read)
    except ExpiredError:
        return None


def resumed(begun: Read[T], answers: Sequence[Any] | None) -> Read[T]:
    """Go on with a read from the answers to its first commands; from its start without any."""
    try:
        commands = begun.send(answers)  # type: ignore[arg-type]
        while True:
            answers = yield commands
            commands = begun.send(answers)
    except StopIteration as returned:
        found: T = returned.value
        return found
