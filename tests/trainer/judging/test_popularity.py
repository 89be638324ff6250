"""The half-life of the popular list is the one that predicts what new users take."""

import numpy as np
import pytest

from contracts.times import DAY_MS
from tests.trainer.models.made import csr
from trainer.counts.derived import Histories
from trainer.judging.popularity import LEAST_USERS, half_life_of
from trainer.models.popular import PopularConfig

USERS, ITEMS, OF_A_FASHION, DAYS = 400, 60, 15, 100


def taken(users: int = USERS, *, fashion_lasts: int) -> Histories:
    """Return users who came evenly over 100 days, each taking five items of the day's fashion."""
    random = np.random.default_rng(0)
    had, days = np.zeros((users, ITEMS)), np.zeros((users, ITEMS))
    for user in range(users):
        day = DAYS * user // users
        first = day // fashion_lasts * OF_A_FASHION % ITEMS
        rank = np.minimum(random.geometric(0.15, 20) - 1, OF_A_FASHION - 1)
        items = first + np.unique(rank)[:5]
        had[user, items], days[user, items] = 1, day
    return Histories(csr(had), (days[had > 0] * DAY_MS).astype(np.int64))


def chosen(histories: Histories, config: PopularConfig | None = None) -> float:
    return half_life_of(config or PopularConfig(), histories, histories.affinities.data)


def test_what_passes_is_forgotten_and_what_stays_is_not() -> None:
    assert 0 < chosen(taken(fashion_lasts=25)) <= 25
    assert chosen(taken(fashion_lasts=2 * DAYS)) == 0


def test_users_are_new_by_their_first_event_and_not_by_their_latest() -> None:
    known = taken(fashion_lasts=25)
    at_first = Histories(known.affinities, known.ts_ms, np.zeros_like(known.ts_ms))
    assert chosen(at_first) == 0  # nobody came lately, though some are still active
    again = Histories(known.affinities, known.ts_ms + 2 * DAYS * DAY_MS, known.ts_ms)
    assert chosen(again) == chosen(known)  # nor is it known then what users come back for later


@pytest.mark.parametrize("users", [0, 1, 10 * LEAST_USERS // 2])
def test_little_data_has_no_half_life(users: int) -> None:
    assert chosen(taken(users, fashion_lasts=25)) == 0
