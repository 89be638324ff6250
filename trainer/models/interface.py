"""What a model is, and what its file says of it besides: its entry in `trainer.models.MODELS`.

A model is pure and has a frozen configuration that checks itself. It is fitted to one matrix and
then ranks it block by block, so that no result is ever whole in memory.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from pydantic import BaseModel

from contracts.messages import Floats, Ints
from trainer.counts.matrices import Matrix
from trainer.counts.order import Order
from trainer.models.ranking import Ranking

Values = dict[str, Any]
"""Some of the trainer's settings, by their names in the environment, in small letters."""


class Ranker(Protocol):
    """A fitted model."""

    @property
    def n_rows(self) -> int:
        """How many lists it makes."""
        ...

    def rank(self, rows: Ints) -> Ranking:
        """Return the lists of some rows, independent of what else is asked for."""
        ...


class Model(Protocol):
    """Turns a matrix into ranked lists of its columns."""

    @property
    def name(self) -> str:
        """As clients see it with a list."""
        ...

    def fit(self, matrix: Matrix, users: Floats | None = None) -> Ranker:
        """Return a ranker; its docstring says which matrix it takes and what its rows are.

        `users`, (n_items,), is the number of users who have each item; None: as in the diagonal.
        """
        ...


class Search(Protocol):
    """What `auto` has tried so far. A candidate is a handful of settings, and the first is best."""

    def best_of(self, model: str) -> Values:
        """Return the best candidate of an item model that was tried before."""
        ...

    def measure(self, model: str, values: Values) -> object:
        """Try an item model with some settings."""
        ...


@dataclass(frozen=True, slots=True)
class Entry:
    """A model as everything else knows it."""

    model: Callable[..., Model]
    """makes it from its configuration, an item model from a list's length, too"""
    config: type[BaseModel]
    """becomes a part of the trainer's settings, under the model's name"""
    of: Literal["items", "users", "everybody"]
    """whose lists it makes: its rows. It is fitted to counts, to the affinities, or to G"""
    candidates: Callable[[Search], None] | None = None
    """tries where `auto` should set out, of an item model; asked in the order of `MODELS`;
    None: `auto` does not try it"""
    ladders: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """values, ascending, along which it goes on where the model is the best one, while that helps;
    by field of the configuration, all of which the candidates set"""
    order: Callable[[Any], Order] | None = None
    """how an item model's counts depend on order, by its configuration; None: it is fitted to G"""
