"""`auto` finds what is planted in data, the same each time, and says where nothing can be found."""

from typing import Any
from unittest.mock import Mock

import numpy as np
import numpy.typing as npt
import pytest
from scipy.sparse import csr_array

from contracts.times import DAY_MS
from tests.oracles.gram import gram_matrix
from tests.trainer.models.made import csr
from tests.trainer.setup import unwatched
from trainer.counts.derived import Histories
from trainer.generations.report import Found, Tried
from trainer.judging import intervals, popularity, trials
from trainer.judging import search as auto
from trainer.judging.lists import judge
from trainer.judging.popularity import half_life_of
from trainer.judging.search import LEAST_USERS, find
from trainer.models import MODELS, cosine, ease
from trainer.models.interface import Values
from trainer.models.popular import PopularConfig
from trainer.quality.checking import check_accuracy
from trainer.settings import AUTO, TrainerSettings
from trainer.settings_file import changed, flat

Dense = npt.NDArray[np.float64]
SETTINGS = TrainerSettings()
SURE = intervals.SURE
CANDIDATES = {name for name, entry in MODELS.items() if entry.candidates}


def found_in(had: Dense, ts_ms: Dense, *, served: Values | None = None, **values: Any) -> Found:
    """Return what is found in users' items, (n_users, n_items), and the times of these."""
    histories = Histories(csr_array(had), ts_ms[had > 0].astype(np.int64))
    settings = changed(SETTINGS, {"auto_accuracy_given_up": 0} | values)
    stored = histories.affinities.data
    gram = csr_array(gram_matrix(had))
    return find(histories, stored, gram, settings, unwatched(), served=served)


def of_kinds(
    users: int = 120, items: int = 40, taken: int = 8, own: float = 10, tail: float = 0
) -> tuple[Dense, Dense]:
    """Return users who mostly take items of their kind of four, one a day; of a tail, the first."""
    random = np.random.default_rng(0)
    had, ts_ms = np.zeros((users, items)), np.zeros((users, items))
    for u in range(users):
        share = (1 + np.arange(items)) ** -tail * np.where(np.arange(items) % 4 == u % 4, own, 1)
        chosen = random.choice(items, taken, replace=False, p=share / share.sum())
        had[u, chosen] = 1
        ts_ms[u, chosen] = random.permutation(taken) * DAY_MS + DAY_MS
    return had, ts_ms


def with_a_long_tail() -> tuple[Dense, Dense]:
    """Return few users of many items, most of which hardly anyone has."""
    return of_kinds(users=80, items=200, taken=6, own=4, tail=0.8)


def with_a_thread() -> tuple[Dense, Dense]:
    """Return users who walk along a ring of items, and jump elsewhere now and then."""
    random = np.random.default_rng(0)
    users, items, taken = 200, 60, 12
    had, ts_ms = np.zeros((users, items)), np.zeros((users, items))
    for u in range(users):
        item = random.integers(items)
        for day in range(taken):
            jump = random.random() < 0.3
            item = random.integers(items) if jump else (item + 1) % items
            had[u, item], ts_ms[u, item] = 1, (day + 1) * DAY_MS
    return had, ts_ms


@pytest.fixture(autouse=True)
def _any_lead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take whatever was better, except where a test is about how sure that is."""
    monkeypatch.setattr(intervals, "SURE", 0)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each grid, the corners."""
    monkeypatch.setattr(cosine, "DAMPINGS", ((0.5, 0.5), (0.9, 0.1)))
    monkeypatch.setattr(ease, "NORMALISED", ((0, 0, 8),))
    monkeypatch.setattr(auto, "SHARES_OF_TIME", (1 / 8,))


def by_values(found: Found, **values: Any) -> Tried:
    """Return the one that was tried with these settings and no others."""
    (one,) = (tried for tried in found.tried if tried.values == values)
    return one


def test_it_takes_the_best_candidate_and_reports_its_accuracy() -> None:
    found = found_in(*of_kinds())
    assert found.users == 120
    assert found.values == found.tried[0].values
    best = max(tried.ndcg for tried in found.tried)
    assert found.tried[0].ndcg == best
    assert found.held_out
    assert 0.3 < found.held_out.low < found.held_out.ndcg < found.held_out.high
    assert found.held_out.ndcg <= best
    assert found.why.startswith(f"nDCG@10 {best:.4f}, coverage ")
    assert found.why.endswith(f"the best of {len(found.tried)} candidates")
    assert {tried.values["item_model"] for tried in found.tried} == CANDIDATES
    assert changed(SETTINGS, found.values).item_model != AUTO


def test_where_the_latest_item_decides_the_next_one_later_positions_count_more(few: None) -> None:
    found = found_in(*with_a_thread())
    cosines = [tried for tried in found.tried if tried.values["item_model"] == "cosine"]
    alike = [t.ndcg for t in cosines if not t.values.get("fold_in_half_life_items")]
    assert 0 < cosines[0].values["fold_in_half_life_items"] <= 3
    assert cosines[0].ndcg > max(alike)


def test_a_lead_that_may_be_chance_is_not_taken(few: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "SURE", SURE)
    found = found_in(*of_kinds(users=30), user_model="none")
    assert found.tried[0].values != found.values == auto.UNLESS_BETTER
    assert found.why.endswith("other candidates is beyond chance")
    assert found.ndcg == by_values(found, **auto.UNLESS_BETTER).ndcg
    clear = found_in(*with_a_thread(), user_model="none")
    assert clear.values == clear.tried[0].values


@pytest.mark.parametrize("sure", [0, 99])
def test_models_climb_that_the_best_does_not_lead_for_sure(
    sure: float, few: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intervals, "SURE", sure)
    found = found_in(*with_a_thread(), user_model="none")
    begun = {8, ease._NEAR_RIDGE, auto.UNLESS_BETTER["ease_regularization"]}
    climbed = {t.values.get("ease_regularization") for t in found.tried} - begun - {None}
    assert found.tried[0].values["item_model"] != "ease"
    assert bool(climbed) == bool(sure)


def test_what_is_served_is_kept_where_the_gate_would_refuse_the_default(
    few: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intervals, "SURE", 99)  # so nothing leads
    served = {"item_model": "cosine", "user_model": "none", "cosine_popularity_damping": 0.1}
    served |= {"fold_in_half_life_items": 0.7, "counts_user_weight_exponent": 0.5}
    found = found_in(*with_a_thread(), served=served | {"neighbors_per_item": 30})
    assert found.values == served
    assert found.why.endswith("as served, no lead over it is beyond chance")
    assert found.lead is not None, "other lists are longer"
    assert check_accuracy(found.held_out)[0].holds

    monkeypatch.setattr(intervals, "SURE", SURE)
    better = found_in(*with_a_thread(), served=served)
    assert better.tried[0].values == better.values != served


@pytest.mark.parametrize("users", [0, 1, LEAST_USERS - 1])
def test_too_few_users_are_a_reason_to_take_the_plain_settings(users: int) -> None:
    had, ts_ms = of_kinds(users=users)
    found = found_in(had, ts_ms)
    assert found.values == auto.UNLESS_BETTER
    assert found.why == f"{users} users have enough items to hold any out, 20 are needed"
    assert (found.ndcg, found.tried) == (None, [])


def test_accuracy_is_given_up_for_lists_that_show_more_of_the_catalog(
    few: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = {"counts_user_weight_exponent": 0, "counts_half_life_days": 0}
    plain |= {"item_model": "cosine", "user_model": "none", "cosine_shrinkage": 0}
    plain |= {"cosine_own_damping": 0.5, "cosine_popularity_damping": 0.5}
    monkeypatch.setattr(auto, "UNLESS_BETTER", plain)
    best = found_in(*with_a_long_tail(), user_model="none")
    found = found_in(*with_a_long_tail(), user_model="none", auto_accuracy_given_up=0.3)
    enough = 0.7 * best.tried[0].ndcg
    able = [tried for tried in found.tried if tried.ndcg >= enough]
    chosen = by_values(found, **found.values)
    assert chosen.coverage == max(tried.coverage for tried in able)
    assert chosen.coverage > best.tried[0].coverage
    assert "within 30% of the best nDCG by coverage" in found.why
    assert found.ndcg is not None
    assert found.ndcg <= chosen.ndcg


@pytest.mark.parametrize("users", [120, LEAST_USERS - 1])
def test_a_searched_setting_that_is_set_is_kept_by_every_candidate(users: int, few: None) -> None:
    given = {"fold_in_half_life_items": 3, "ease_regularization": 20, "cosine_shrinkage": 0.5}
    found = found_in(*of_kinds(users=users), **given)
    for values in [found.values, *(tried.values for tried in found.tried)]:
        made_with = flat(changed(changed(SETTINGS, given), values).model_dump())
        assert {name: made_with[name] for name in given} == given
    assert len(found.tried) == len({str(tried.values) for tried in found.tried})


@pytest.mark.parametrize("sure", [0, 99])
def test_of_many_items_expensive_candidates_are_measured_on_fewer_users_and_have_to_lead(
    sure: float, few: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trials, "ROWS_MOST", 30)
    monkeypatch.setattr(trials, "EXACT_ITEMS", 10)
    monkeypatch.setattr(intervals, "SURE", sure)
    judging = Mock(wraps=judge)
    monkeypatch.setattr(trials, "judge", judging)
    found = found_in(*of_kinds(), user_model="none")
    asked = [len(call.args[0].judged) for call in judging.call_args_list]
    (some, every), models = sorted(set(asked)), [t.values["item_model"] for t in found.tried]
    assert some < 20 < every == 120
    assert {*models} == CANDIDATES
    assert asked.count(some) == models.count("ease")
    assert found.users == (some if found.values["item_model"] == "ease" else every)
    if sure:
        best = max(tried.ndcg for tried in found.tried if tried.values["item_model"] != "ease")
        assert by_values(found, **found.values).ndcg == best


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


@pytest.mark.parametrize("users", [0, 1, 10 * popularity.LEAST_USERS // 2])
def test_little_data_has_no_half_life(users: int) -> None:
    assert chosen(taken(users, fashion_lasts=25)) == 0
