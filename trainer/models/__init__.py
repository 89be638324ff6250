"""What a model is. Each is pure, has a file, and a frozen configuration that checks itself.

A model is fitted to one matrix and then ranks it block by block, so that no result is ever whole in
memory.
"""

from typing import Protocol

from trainer.matrices import Matrix
from trainer.ranking import Ranking


class Ranker(Protocol):
    """A fitted model."""

    @property
    def n_rows(self) -> int:
        """How many lists it makes."""
        ...

    def rank(self, start: int, stop: int) -> Ranking:
        """Return the lists of rows `start <= row < stop`, the same in whatever blocks they come."""
        ...


class Model(Protocol):
    """Turns a matrix into ranked lists of its columns."""

    @property
    def name(self) -> str:
        """As readers see it beside a list."""
        ...

    def fit(self, matrix: Matrix) -> Ranker:
        """Return a ranker; its docstring says which matrix it takes and what its rows are."""
        ...
