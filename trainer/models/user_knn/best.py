"""The k best of what is offered to each of some users."""

from typing import Final

import numpy as np

from contracts.messages import Floats, Ints
from trainer.counts.matrices import Indices
from trainer.models.user_knn.closeness import Users

NOBODY: Final = -1
_WORTH_RAISING: Final = 1 / 4
"""Of how many offers, as a share of what is kept, `worst` is raised."""


class Best:
    """For each query the k users closest to it, equally close ones by smaller row.

    Of who shares nothing with a query in `unit-length` nothing is kept: such users say nothing.
    """

    def __init__(self, users: Users, queries: Ints, k: int) -> None:
        """Begin with nobody; `queries` are at most 65,536 rows of users."""
        self.queries = queries
        self.k = k
        self.worst = np.full(len(queries), -np.inf if users.metric == "raw" else 0.0)
        """(queries,) how close the k-th is at least; others need not be offered"""
        self._users = users
        self._values = np.repeat(self.worst[:, np.newaxis], k, axis=1)
        self._offers: list[tuple[Ints, Indices, Floats]] = []
        self._n_raised = 0

    def offer(self, places: Ints, others: Indices) -> None:
        """Consider one of `others` for each query in `places`, once only."""
        closeness = self._users.closeness(self.queries[places], others)
        near = (closeness >= self.worst[places]) & (self.queries[places] != others)
        near &= closeness > (0 if self._users.metric == "unit-length" else -np.inf)
        self._offers.append((places[near], others[near], closeness[near]))
        if sum(len(offer[0]) for offer in self._offers[self._n_raised :]) > (
            self._values.size * _WORTH_RAISING
        ):
            self.raise_worst()

    def raise_worst(self) -> None:
        """Let `worst` be what the offers so far have made it."""
        new = self._offers[self._n_raised :]
        if not new:
            return
        places, _, closeness = map(np.concatenate, zip(*new, strict=True))
        order = np.argsort(places.astype(np.uint16), kind="stable")  # a radix sort
        places, closeness = places[order], closeness[order]
        counts = np.bincount(places, minlength=len(self.queries))
        column = np.arange(len(places)) - (np.cumsum(counts) - counts)[places]
        values = np.full((len(self.queries), self.k + int(counts.max())), -np.inf)
        values[:, : self.k] = self._values
        values[places, self.k + column] = closeness
        values.partition(values.shape[1] - self.k, axis=1)
        self._values = values[:, -self.k :].copy()
        self.worst = self._values[:, 0].copy()
        self._n_raised = len(self._offers)

    def found(self) -> tuple[Indices, Floats]:
        """Return (queries, k) users, nearest first and NOBODY after the last, and how close."""
        users = np.full((len(self.queries), self.k), NOBODY, np.int32)
        values = np.full(users.shape, -np.inf)
        self.raise_worst()
        if self._offers:
            places, others, closeness = map(np.concatenate, zip(*self._offers, strict=True))
            near = closeness >= self.worst[places]
            places, others, closeness = places[near], others[near], closeness[near]
            order = np.lexsort((others, -closeness, places))
            places, others, closeness = places[order], others[order], closeness[order]
            rank = np.arange(len(places)) - np.searchsorted(places, places)
            best = rank < self.k
            users[places[best], rank[best]] = others[best]
            values[places[best], rank[best]] = closeness[best]
        return users, values
