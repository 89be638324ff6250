"""Users are judged by the lists that their variant served at the start, as they stand in Redis."""

import math
from collections.abc import Callable

import msgspec
import pytest

from contracts.affinities import HistoryEntry
from contracts.fold_in import FoldIn
from contracts.generations import Recommendation, Served, UserList
from contracts.messages import Floats
from tests.trainer.judging.behaving import put_history, put_lists, put_report
from tests.trainer.setup import PARTITIONS, Setup, unwatched
from trainer import telemetry
from trainer.judging import period as module
from trainer.judging.period import Period, read_ndcg

SINCE_MS = 1_000
WHOLE = FoldIn()
SECOND, THIRD = 1 / math.log2(3), 1 / math.log2(4)
"""nDCG@10 of a list with the only item at that place."""


def served(generation: str, fold_in: FoldIn = WHOLE) -> Served:
    return Served(generation, "cosine", "user-knn", fold_in)


def ndcg(
    setup: Setup,
    started: dict[str, Served] | None = None,
    variant_of: Callable[[str], str | None] = lambda _: "default",
) -> dict[str, Floats]:
    period = Period("spring", SINCE_MS, started or {"default": served("g1")}, variant_of)
    return read_ndcg(setup.store, setup.keys, PARTITIONS, period, unwatched())


def of_user(setup: Setup, fold_in: FoldIn = WHOLE) -> float:
    (figure,) = ndcg(setup, {"default": served("g1", fold_in)})["default"].tolist()
    return float(figure)


def put_items(setup: Setup, user: str, items: dict[int, int]) -> None:
    """Write a history of items with the time of their last event."""
    put_history(setup, user, {item: HistoryEntry(1, ts_ms) for item, ts_ms in items.items()})


def test_each_user_is_judged_once_and_by_the_own_variants_lists(setup: Setup) -> None:
    for n in range(60):
        put_items(setup, f"u{n}", {1: 500, 2: 600, 7: 1_500})
    put_items(setup, "had nothing", {7: 1_500})
    put_items(setup, "did nothing", {1: 500})
    put_lists(setup, "g1", {1: {3: 0.9, 7: 0.5}, 2: {3: 0.1}})
    put_lists(setup, "g2", {1: {7: 0.9}, 2: {1: 0.9}})
    started = {"default": served("g1"), "steep": served("g2")}
    variants = {"u0": "steep", "u1": "gone", "u2": None}
    found = ndcg(setup, started, lambda user: variants.get(user, "default"))
    assert found["default"].tolist() == pytest.approx([SECOND] * 57)
    assert found["steep"].tolist() == [1]


def test_users_of_any_time_are_drawn(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "USERS_MOST", 20)
    monkeypatch.setattr(module, "_USERS_AT_ONCE", 7)
    for n in range(200):
        put_items(setup, f"u{n}", {1: 500, 7 + (n >= 100): 2_000 + n})
    put_lists(setup, "g1", {1: {8: 0.5}})
    found = ndcg(setup)["default"]
    assert len(found) == 20
    assert 0.2 < found.mean() < 0.8, "the later half takes 8"
    assert ndcg(setup)["default"].tolist() == found.tolist()


def test_items_times_part_before_from_after(setup: Setup) -> None:
    before, again = HistoryEntry(1, 1_000), HistoryEntry(1, 1_001, f=400)
    put_history(setup, "u", {5: before, 6: again, 7: HistoryEntry(1, 1_001)})
    put_lists(setup, "g1", {5: {6: 0.9, 7: 0.5}, 7: {8: 1}})
    assert of_user(setup) == 1


@pytest.mark.parametrize(
    ("lists", "expected"),
    [
        ({1: {7: 0.5}, 2: {7: -0.4}}, 1),
        ({1: {7: 0.5}, 2: {7: -0.5}}, 0),
        ({1: {7: -0.5}}, 0),
        ({1: {2: 0.9, 7: 0.1}}, 1),
        ({1: {8: 0.5, 9: 0.4, 7: 0.3}}, THIRD),
    ],
    ids=["outweighed", "even", "against", "had already", "third"],
)
def test_what_is_recommended_is_what_the_api_would(
    setup: Setup, lists: dict[int, dict[int, float]], expected: float
) -> None:
    put_items(setup, "u", {1: 500, 2: 500, 7: 1_500})
    put_lists(setup, "g1", lists)
    assert of_user(setup) == pytest.approx(expected)


@pytest.mark.parametrize(("seen_ms", "expected"), [(700, 1), (599, SECOND)])
def test_an_own_list_comes_first_unless_it_ended_with_an_event_before(
    setup: Setup, seen_ms: int, expected: float
) -> None:
    put_items(setup, "u", {1: 500, 2: 600, 7: 1_500})
    put_lists(setup, "g1", {1: {9: 0.9, 7: 0.5}})
    put_report(setup, "g1", learned_until_ms=seen_ms)
    own = UserList("user-knn", (0, 1), [Recommendation("7", 0.5, [])])
    setup.store.set(setup.keys.model_user("g1", "u"), msgspec.json.encode(own))
    assert of_user(setup) == pytest.approx(expected)


@pytest.mark.parametrize(
    "entry", ['{"r":1,"t":500,"s":0}', '{"r":1,"t":99999999999999999999}', "[]", "x"]
)
def test_a_history_that_cannot_be_read_is_left_out_and_counted(setup: Setup, entry: str) -> None:
    for user in ("u", "v"):
        put_items(setup, user, {1: 500, 7: 2_000})
    setup.store.hset(setup.history_key("v"), "2", entry)
    put_lists(setup, "g1", {1: {7: 0.5}})
    assert of_user(setup) == 1
    assert telemetry.CORRUPT_VALUES._value.get() == 1


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        b"{",
        b"\xff",
        b"[]",
        b'{"model":"cosine","items":[{"item":"x","score":1,"support":1}]}',
        b'{"model":"cosine","items":[{"item":"99999999999999999999","score":1,"support":1}]}',
    ],
)
def test_a_list_that_cannot_be_read_is_missing(setup: Setup, stored: bytes) -> None:
    put_items(setup, "u", {1: 500, 2: 600, 7: 1_500})
    put_lists(setup, "g1", {1: {8: 0.9}, 2: {7: 0.1}})
    setup.store.set(setup.keys.model_similar("g1", "1"), stored)
    assert of_user(setup) == 1
