"""Reading within one generation: which one is served, and what if it goes while it is read.

The pointer is read together with an answer's first commands, which are asked of the generation that
it named the last time: that saves a round trip but for once a training.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from api.redis.reading import Command, Read
from contracts.keyspace import DEFAULT_VARIANT, Current, Keyspace

T = TypeVar("T")

_current = msgspec.json.Decoder(Current)


class NoModelYetError(LookupError):
    """No generation is published."""


class ExpiredError(LookupError):
    """A part of the generation that is read is gone."""


class GenerationReplacedError(LookupError):
    """Generations were replaced faster than one could be read."""


@dataclass(frozen=True, slots=True)
class Generation:
    """The lists that one answer is made of."""

    variant: str
    name: str


class Generations:
    """Follows the pointer of one namespace."""

    def __init__(self, keys: Keyspace) -> None:
        self.pointer: Command = ("GET", keys.model_current())
        """The command whose answer says what is served."""
        self._pointed: bytes | None = None
        self._current: Current | None = None
        """What the pointer held last, decoded."""

    def variants(self) -> Read[Collection[str]]:
        """Return the names of the variants that are served, none before the first model."""
        (value,) = yield [self.pointer]
        current = self._decoded(value)
        return [] if current is None else list(current.variants)

    def within_one(self, read: Callable[[Generation], Read[T | None]]) -> Read[T | None]:
        """Return what `read` finds in the generation that is served, None if it has nothing.

        Finding nothing may also mean that the generation expired under the reader: if the pointer
        has moved meanwhile, the new one is read, once.

        Raises:
            NoModelYetError: nothing is served yet.
            GenerationReplacedError: the new one was replaced, too.
        """
        generation, begun, answers = yield from self._begun(read)
        found = yield from _unless_expired(_resumed(begun, answers))
        for _ in range(2):
            if found is not None:
                return found
            (value,) = yield [self.pointer]
            latest = self.served(value)
            if latest == generation:
                return None
            generation = latest
            found = yield from _unless_expired(read(generation))
        raise GenerationReplacedError

    def served(self, value: bytes | None) -> Generation:
        """Return what is served, by the answer to `pointer`.

        Raises:
            NoModelYetError: nothing is.
        """
        generation = _of(self._decoded(value))
        if generation is None:
            raise NoModelYetError
        return generation

    def _begun(
        self, read: Callable[[Generation], Read[T | None]]
    ) -> Read[tuple[Generation, Read[T | None], Sequence[Any] | None]]:
        """Return what is served, `read` begun on it, and the answers to its first commands."""
        guess = _of(self._current)
        if guess is None:
            (value,) = yield [self.pointer]
        else:
            begun = read(guess)
            *answers, value = yield [*next(begun), self.pointer]
            if self.served(value) == guess:
                return guess, begun, answers
            begun.close()
        generation = self.served(value)
        return generation, read(generation), None

    def _decoded(self, value: bytes | None) -> Current | None:
        if value != self._pointed:
            self._pointed = value
            self._current = None if value is None else _current.decode(value)
        return self._current


def _of(current: Current | None) -> Generation | None:
    served = None if current is None else current.variants.get(DEFAULT_VARIANT)
    return None if served is None else Generation(DEFAULT_VARIANT, served.generation)


def _unless_expired(read: Read[T | None]) -> Read[T | None]:
    """Return what a read finds; nothing if its generation expired meanwhile."""
    try:
        return (yield from read)
    except ExpiredError:
        return None


def _resumed(begun: Read[T], answers: Sequence[Any] | None) -> Read[T]:
    """Go on with a read from the answers to its first commands; from its start without any."""
    try:
        commands = begun.send(answers)  # type: ignore[arg-type]
        while True:
            answers = yield commands
            commands = begun.send(answers)
    except StopIteration as returned:
        found: T = returned.value
        return found
