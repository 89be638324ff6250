"""The endpoints, and which paths of each are asked for how often: a Zipf law over shuffled ids."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.reads import zipf
from benchmarks.reads.data import SEED, Size, by_popularity, user_id
from contracts.messages import Ints

DRAWN: Final = 100_000
"""paths that wrk goes through in turn, and then once more"""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One kind of request."""

    name: str
    paths: list[str]
    worked_out: bool = False
    """whether the answer stands nowhere, so that finding it is most of the work"""

    def __str__(self) -> str:
        return f"GET {self.paths[0]} and the like"


def endpoints(size: Size) -> list[Endpoint]:
    """Return the hot reads, as clients ask for them who leave everything at its default."""
    return [
        bars(size),
        similar(size),
        recommendations(size),
        Endpoint("first version: bars", _of_instruments(size, "/instruments/{}")),
        Endpoint("first version: similar", _of_instruments(size, "/instruments/similar/{}")),
    ]


def bars(size: Size) -> Endpoint:
    """Return the last five minute bars of instruments."""
    return Endpoint("bars", _of_instruments(size, "/v1/instruments/{}/bars"))


def similar(size: Size) -> Endpoint:
    """Return the ten instruments most similar to one."""
    return Endpoint("similar", _of_instruments(size, "/v1/instruments/{}/similar"))


def recommendations(size: Size) -> Endpoint:
    """Return ten instruments for users without a list of their own."""
    paths = _of_users(without_list(size), "/v1/users/{}/recommendations")
    return Endpoint("recommendations", paths, worked_out=True)


def plain(size: Size) -> Endpoint:
    """Return the baseline's GET of one key as it is stored: the lists of users who have one."""
    having = np.random.default_rng(SEED).permutation(size.with_own_list)
    return Endpoint("a plain GET", _of_users(having, "/plain/{}"))


def without_list(size: Size) -> Ints:
    """Return the users who have no list of their own, most active first."""
    numbers = np.arange(size.with_own_list, size.users)
    return np.random.default_rng(SEED).permutation(numbers)


def _of_instruments(size: Size, template: str) -> list[str]:
    return [template.format(instrument) for instrument in _drawn(by_popularity(size))]


def _of_users(users: Ints, template: str) -> list[str]:
    return [template.format(user_id(user)) for user in _drawn(users)]


def _drawn(ids: Ints) -> list[int]:
    drawn: list[int] = ids[zipf.draw(DRAWN, len(ids), np.random.default_rng(SEED))].tolist()
    return drawn
