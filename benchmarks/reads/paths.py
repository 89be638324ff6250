"""Which paths are asked for how often: a Zipf law over shuffled ids."""

from typing import Final

import numpy as np

from benchmarks.harness import zipf
from benchmarks.reads.data import SEED, Size, by_popularity, user_id
from contracts.messages import Ints

_RECOMMENDATIONS: Final = "/v1/users/{}/recommendations"
DRAWN: Final = 100_000
"""paths that wrk goes through in turn, and then once more"""


def of_instruments(size: Size, template: str) -> list[str]:
    """Return the path of each of some instruments, those that are popular more often."""
    return [template.format(instrument) for instrument in _drawn(by_popularity(size))]


def recommendations(size: Size) -> list[str]:
    """Return ten instruments for users without a list of their own."""
    return _of_users(_drawn(without_list(size)), _RECOMMENDATIONS)


def batches(size: Size, n: int) -> list[list[str]]:
    """Return the same for these users, each in one batch of `n`; the rest of the division in none.

    If there are fewer users, one batch has all of them.
    """
    paths = _of_users(without_list(size).tolist(), _RECOMMENDATIONS)
    n = min(n, len(paths))
    return [paths[first : first + n] for first in range(0, len(paths) - n + 1, n)]


def own_lists(size: Size) -> list[str]:
    """Return ten instruments for users with a list of their own."""
    return _of_users(_drawn(_with_list(size)), _RECOMMENDATIONS)


def long(size: Size) -> list[str]:
    """Return ten instruments for users with long histories, without one that each time is named."""
    users = np.arange(size.users - size.with_long_history, size.users).tolist()
    return [
        f"{path}?exclude={without}"
        for without, path in enumerate(_of_users(users, _RECOMMENDATIONS))
    ]


def plain(size: Size) -> list[str]:
    """Return the baseline's GET of one key as it is stored: the lists of users who have one."""
    return _of_users(_drawn(_with_list(size)), "/plain/{}")


def without_list(size: Size) -> Ints:
    """Return the users who have no list of their own, nor a long history, most active first."""
    numbers = np.arange(size.with_own_list, size.users - size.with_long_history)
    return np.random.default_rng(SEED).permutation(numbers)


def _with_list(size: Size) -> Ints:
    return np.random.default_rng(SEED).permutation(size.with_own_list)


def _of_users(users: list[int], template: str) -> list[str]:
    return [template.format(user_id(user)) for user in users]


def _drawn(ids: Ints) -> list[int]:
    drawn: list[int] = ids[zipf.draw(DRAWN, len(ids), np.random.default_rng(SEED))].tolist()
    return drawn
