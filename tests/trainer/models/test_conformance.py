"""What every model must do, whatever it computes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.local.paths import PROJECT
from tests.trainer.models.made import (
    Affinities,
    binary,
    checkerboard,
    csr,
    fewer,
    gram,
    lists,
    near,
    ranked,
    ranking_of,
    scores,
    weighted,
)
from trainer.counts.matrices import Matrix
from trainer.models import ITEM_MODELS, MODELS, Model


@dataclass(frozen=True)
class Conforming:
    """A model as it is held to the claims."""

    name: str
    values: dict[str, object]
    sizes: Mapping[str, int] = field(default_factory=dict)
    """the model's fields besides its configuration"""
    cut: bool = False
    """lists or neighborhoods are too short for all items, and equals stand at their ends"""
    unitless: bool = True
    """affinities in another unit make the same scores"""

    def __str__(self) -> str:
        given = {**self.sizes, **self.values}
        return " ".join([self.name, *(f"{name}={value}" for name, value in given.items())])

    @property
    def model(self) -> Model:
        entry = MODELS[self.name]
        return entry.model(entry.config.model_validate(self.values), **self.sizes)

    @property
    def is_signed(self) -> bool:
        """Whether an item may speak against another one."""
        return self.name == "ease"

    @property
    def of_users(self) -> bool:
        return MODELS[self.name].of == "users"

    @property
    def input_of(self) -> Callable[[Affinities], Matrix]:
        return csr if self.of_users else gram


EVERY = [
    *(Conforming(name, {}, unitless=name != "popular") for name in MODELS),
    Conforming("cosine", {}, {"neighbors": 3}, cut=True),
    Conforming("cosine", {"shrinkage": 2.5, "popularity_damping": -0.2}, unitless=False),
    Conforming("cosine", {"popular_removed": 2}, cut=True),
    Conforming("ease", {"regularization": 0.1}),
    Conforming("ease", {"own_damping": 0.4, "popularity_damping": 0.2}),
    Conforming("ease", {}, {"neighbors": 2}, cut=True),
    Conforming("ease", {"regularization": 0.5}, {"exact_items": 0}, cut=True),
    Conforming("ease", {}, {"exact_items": 0, "neighborhood": 4, "neighbors": 3}, cut=True),
    Conforming("popular", {"items": 3}, cut=True, unitless=False),
    Conforming("user-knn", {"k": 100, "recommendations": 3}, cut=True),
    Conforming("user-knn", {"k": 100, "metric": "raw"}, unitless=False),
]
OF_ITEMS = [one for one in EVERY if one.name in ITEM_MODELS]

every_model = pytest.mark.parametrize("one", EVERY, ids=str)
every_item_model = pytest.mark.parametrize("one", OF_ITEMS, ids=str)
every_whole_item_model = pytest.mark.parametrize("one", [o for o in OF_ITEMS if not o.cut], ids=str)


def test_the_page_of_models_has_a_row_for_each() -> None:
    page = (PROJECT / "docs/models.md").read_text()
    assert [name for name in MODELS if f"\n| `{name}` | $" not in page] == []


@every_model
@fewer
@given(affinities=binary() | weighted())
def test_lists_are_best_first_without_repetition_and_of_scores_that_say_something(
    one: Conforming, affinities: Affinities
) -> None:
    for of_row in ranked(one.model, one.input_of(affinities)):
        of_list = [score for _, score in of_row]
        assert of_list == sorted(of_list, reverse=True)
        assert all(score and np.isfinite(score) for score in of_list)
        assert one.is_signed or all(score > 0 for score in of_list)
        assert len({column for column, _ in of_row}) == len(of_row)


@every_model
@fewer
@given(affinities=binary())
def test_equal_scores_go_by_support_then_by_item(one: Conforming, affinities: Affinities) -> None:
    ranking = ranking_of(one.model, one.input_of(affinities))
    rows = np.repeat(np.arange(len(ranking)), np.diff(ranking.indptr))
    order = np.lexsort((ranking.columns, -ranking.support, -ranking.scores, rows))
    assert order.tolist() == list(range(len(rows)))


@every_model
@fewer
@given(affinities=binary() | weighted(), data=st.data())
def test_lists_do_not_depend_on_what_else_is_asked_for(
    one: Conforming, affinities: Affinities, data: st.DataObject
) -> None:
    ranker = one.model.fit(one.input_of(affinities))
    some = data.draw(st.lists(st.integers(0, ranker.n_rows - 1)))
    whole = lists(ranker.rank(np.arange(ranker.n_rows)))
    assert lists(ranker.rank(np.array(some, np.int64))) == [whole[row] for row in some]


@every_model
@fewer
@given(affinities=binary() | weighted())
def test_lists_are_the_same_again_to_the_last_bit(one: Conforming, affinities: Affinities) -> None:
    first, second = (ranking_of(one.model, one.input_of(affinities)) for _ in range(2))
    for name in ("indptr", "columns", "scores", "support", "because"):
        assert getattr(first, name).tobytes() == getattr(second, name).tobytes()


@every_model
@fewer
@given(affinities=binary() | weighted())
def test_a_user_who_has_nothing_and_an_item_that_nobody_has_change_nothing(
    one: Conforming, affinities: Affinities
) -> None:
    more = np.pad(affinities, ((0, 1), (0, 1)))
    before = scores(one.model, one.input_of(affinities))
    rows_more = 0 if one.name == "popular" else 1
    assert near(np.pad(before, ((0, rows_more), (0, 1))), scores(one.model, one.input_of(more)))


@pytest.mark.parametrize("one", [o for o in EVERY if o.unitless], ids=str)
@fewer
@given(affinities=binary(), half_lives=st.sampled_from([-60, 1, 400]))
def test_affinities_that_all_decayed_alike_make_the_same_lists(
    one: Conforming, affinities: Affinities, half_lives: int
) -> None:
    decayed = affinities * 2.0**half_lives
    now = ranking_of(one.model, one.input_of(affinities))
    later = ranking_of(one.model, one.input_of(decayed))
    assert later.columns.tolist() == now.columns.tolist()
    assert later.indptr.tolist() == now.indptr.tolist()
    assert near(later.scores, now.scores)


@every_model
@pytest.mark.parametrize("shape", [(0, 0), (0, 1), (1, 0), (1, 1), (2, 1), (1, 2)])
def test_an_empty_matrix_makes_empty_lists(one: Conforming, shape: tuple[int, int]) -> None:
    assert not any(ranked(one.model, one.input_of(np.zeros(shape))))


@every_item_model
@fewer
@given(affinities=binary() | weighted())
def test_no_item_is_its_own_neighbor_and_support_is_what_the_two_have_in_common(
    one: Conforming, affinities: Affinities
) -> None:
    counts = one.input_of(affinities)
    ranking = ranking_of(one.model, counts)
    rows = np.repeat(np.arange(len(ranking)), np.diff(ranking.indptr))
    assert (rows != ranking.columns).all()
    assert ranking.support.tolist() == counts.toarray()[rows, ranking.columns].tolist()


@every_whole_item_model
def test_items_of_a_checkerboard_are_neighbors_within_their_color_only(one: Conforming) -> None:
    for i, neighbors in enumerate(ranked(one.model, one.input_of(checkerboard()))):
        assert [j for j, _ in neighbors] == [j for j in range(8) if j % 2 == i % 2 and j != i]
        assert len({score for _, score in neighbors}) == 1


@pytest.mark.parametrize("one", [o for o in EVERY if not o.cut and o.name != "popular"], ids=str)
def test_what_is_missing_on_a_checkerboard_is_what_is_recommended(one: Conforming) -> None:
    board = checkerboard()
    user, item = 2, 5
    board[user, item] = 0
    found = scores(one.model, one.input_of(board))
    for_user = found[user] if one.of_users else board[user] @ found
    for_user[(board[user] > 0) | (for_user < 0)] = 0
    assert for_user.argmax() == item
    strangers_speak = one.values.get("metric") == "raw"
    assert (np.flatnonzero(for_user).tolist() == [item]) is not strangers_speak
