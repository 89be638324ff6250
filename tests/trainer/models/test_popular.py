"""The popular list is the diagonal, each user decayed by the time since."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.times import DAY_MS
from tests.trainer.models.made import Affinities, binary, csr, fewer, gram, ranked, weighted
from trainer.counts.derived import Histories
from trainer.models.popular import Popular, PopularConfig, recent_counts


def read(affinities: Affinities, days: Affinities) -> Histories:
    """Return histories with the days of their entries."""
    return Histories(csr(affinities), (days[affinities > 0] * DAY_MS).astype(np.int64))


@fewer
@given(affinities=binary() | weighted())
def test_popular_is_the_diagonal(affinities: Affinities) -> None:
    own = gram(affinities).diagonal()
    (found,) = ranked(Popular(PopularConfig(items=100)), gram(affinities))
    assert found == sorted(((int(i), own[i]) for i in np.flatnonzero(own)), key=lambda p: -p[1])


@fewer
@given(affinities=binary() | weighted(), seed=st.integers(0, 9), half_life=st.sampled_from([1, 20]))
def test_a_count_halves_with_each_half_life_before_the_latest_event(
    affinities: Affinities, seed: int, half_life: float
) -> None:
    days = np.random.default_rng(seed).integers(0, 9, affinities.shape)
    made = read(affinities, days)
    latest = days[affinities > 0].max(initial=0)
    expected = (affinities**2 * 2.0 ** ((days - latest) / half_life)).sum(axis=0)
    found = recent_counts(made, made.affinities.data, gram(affinities), half_life).diagonal()
    assert found == pytest.approx(expected)
    undecayed = recent_counts(made, made.affinities.data, gram(affinities), 0).diagonal()
    assert (undecayed == gram(affinities).diagonal()).all()


def test_users_who_were_not_read_count_as_of_the_last_one_who_was() -> None:
    had = np.array([[1.0, 1, 0], [0, 1, 0], [0, 0, 1], [0, 1, 1]])
    days = np.array([[9.0, 5, 0], [0, 7, 0], [0, 0, 3], [0, 2, 1]])
    of_first = read(had[:2], days[:2])
    found = recent_counts(of_first, of_first.affinities.data, gram(had), 1).diagonal()
    assert found.tolist() == [1, 2**-4 + 2**-2 + 2**-2, 2 * 2**-2]


def test_what_nobody_took_for_any_number_of_half_lives_is_still_in_the_list() -> None:
    had, days = np.eye(3)[[0, 0, 1, 2]], np.diag([0.0, 36_500, 36_498])[[0, 0, 1, 2]]
    of_latest = read(had[:3], days[:3])
    found = recent_counts(of_latest, of_latest.affinities.data, gram(had), 0.5)
    (ranking,) = ranked(Popular(PopularConfig()), found)
    assert ranking[0][0] == 1
    assert len(ranking) == 3
