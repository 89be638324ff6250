"""What a user was shown without a click sinks, whatever the source of an answer is."""

from collections.abc import AsyncIterator

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis

from api.recommendations.answers import Recommended
from api.recommendations.choosing import Wish
from api.recommendations.sinking import HALF_LIFE_DAYS, factors_of, sunk
from contracts.generations import Current, Popular, PopularList, Served
from contracts.impressions import KEPT_MS, Impressions
from contracts.keyspace import OFFSET_FIELD
from contracts.times import DAY_MS, HOUR_MS
from tests.patience import until_true

from .conftest import ALL_ALIKE, Filled, Serve
from .conftest import NOW_MS as SERVED_AT_MS
from .reading import Reader

HOUR = SERVED_AT_MS // HOUR_MS
NOW_MS = HOUR * HOUR_MS
DISCOUNT = 0.5
TEN = Wish(10, frozenset(), include_seen=False)
items_and_scores = st.dictionaries(st.integers(0, 20), st.sampled_from([0.0, 0.2, 0.5, 0.9, 1.0]))


def factors(
    shown: dict[int, tuple[int, int]], has: frozenset[int] = frozenset()
) -> dict[int, float]:
    flat = [OFFSET_FIELD.encode(), b"[0,7]"]
    for item, (n, t) in shown.items():
        flat += [str(item).encode(), msgspec.json.encode(Impressions(n, t, ["iAAAAAA"]))]
    return factors_of(flat, has, DISCOUNT, HOUR)


def test_each_impression_takes_its_share_which_halves_in_days() -> None:
    half_life_ms = round(HALF_LIFE_DAYS * DAY_MS)
    shown = {1: (1, NOW_MS), 2: (2, NOW_MS), 3: (2, NOW_MS - half_life_ms), 4: (1, NOW_MS + 7)}
    assert factors(shown) == {1: 0.5, 2: 0.25, 3: 0.5, 4: 0.5}


def test_what_was_clicked_since_or_shown_weeks_ago_or_is_the_users_own_does_not_sink() -> None:
    shown = {1: (0, NOW_MS), 2: (9, NOW_MS - KEPT_MS - 1), 3: (9, NOW_MS), 4: (9, NOW_MS)}
    assert factors(shown, frozenset([3])).keys() == {4}


@given(
    scores=items_and_scores,
    sinks=st.dictionaries(st.integers(0, 20), st.sampled_from([0.1, 0.5, 0.99])),
    n=st.integers(0, 8),
)
def test_of_a_list_the_best_are_found_among_as_many_more_as_sink(
    scores: dict[int, float], sinks: dict[int, float], n: int
) -> None:
    ranked = [
        Recommended(item, score, [])
        for item, score in sorted(scores.items(), key=lambda each: (-each[1], each[0]))
    ]
    found = sunk(iter(ranked), sinks, n)
    assert found == sunk(ranked, sinks, len(ranked))[:n]
    plain = {item: round(score * sinks.get(item, 1), 12) for item, score in scores.items()}
    best = sorted(plain, key=lambda item: (-plain[item], -sinks.get(item, 1)))[:n]
    assert [plain[item.instrument_id] for item in found] == [plain[item] for item in best]
    assert all(item.score == plain[item.instrument_id] for item in found)


def serve_discounting(filled: Filled, discount: float = DISCOUNT, diversity: float = 0) -> None:
    served = Served("g1", "cosine", "user-knn", ALL_ALIKE, diversity, impression_discount=discount)
    filled.serve(Current(1, {"default": served}))


def fill(filled: Filled) -> None:
    """Have one user of each source."""
    neighbors = [(str(item), 1 / item, 1.0) for item in range(2, 40)]
    everyone = [(str(item), 100.0 - item) for item in range(1, 40)]
    filled.generation("g1", {"1": neighbors}, popular=everyone)
    serve_discounting(filled)
    for user in ("history", "model"):
        filled.history(user, {"1": (1, 5)}, off=7)
    own = [(str(item), 1 / item, ["1"]) for item in range(2, 40)]
    filled.user_list("g1", "model", 7, own)


@pytest.fixture
async def client(serve: Serve, filled: Filled) -> AsyncIterator[httpx.AsyncClient]:
    fill(filled)
    async with serve() as client:
        yield client


async def ids(client: httpx.AsyncClient, user: str, query: str = "") -> list[int]:
    answer = await client.get(f"/v1/users/{user}/recommendations?n=3{query}")
    assert answer.status_code == 200, answer.text
    assert user.startswith(answer.json()["source"])
    return [item["instrument_id"] for item in answer.json()["items"]]


@pytest.mark.parametrize("user", ["model", "history", "popular"])
async def test_what_was_shown_sinks_in_lists_of_each_source_until_it_is_clicked(
    client: httpx.AsyncClient, filled: Filled, user: str
) -> None:
    first, second, third, *_ = before = await ids(client, user)
    assert await ids(client, user) == before
    filled.impressions(user, {first: (9, NOW_MS), third: (9, NOW_MS)}, off=1)
    after = await ids(client, user)
    assert after == [second, third + 1, third + 2]
    assert await ids(client, user) == after
    filled.impressions(user, {first: (0, NOW_MS), third: (9, NOW_MS)}, off=2)
    assert await ids(client, user) == [first, second, third + 1]


async def test_it_sinks_by_category_and_among_diverse_items_too(
    client: httpx.AsyncClient, filled: Filled
) -> None:
    for item in range(1, 40):
        filled.instrument(item, f"S{item}", categories=("few",) if item % 7 == 0 else ("many",))

    @until_true
    async def known() -> None:
        assert await ids(client, "history", "&category=few") == [7, 14, 21]

    await known()
    assert await ids(client, "history", "&diversity=1") == [2, 7, 3]
    filled.impressions("history", {7: (9, NOW_MS)}, off=1)
    assert await ids(client, "history", "&category=few") == [14, 21, 28]
    assert await ids(client, "history", "&diversity=1") == [2, 14, 3]


async def test_new_listings_sink_among_themselves(
    client: httpx.AsyncClient, filled: Filled
) -> None:
    every = [Popular(str(item), 10, 10) for item in range(1, 40)]
    whole = msgspec.json.encode(PopularList("popular", every, is_whole=True))
    filled.store.set(filled.keys.model_popular("g1"), whole)
    for item in range(1, 42):
        filled.instrument(item, f"S{item}", categories=("tech",) if item in {1, 40, 41} else ("x",))

    async def new() -> list[int]:
        answer = await client.get("/v1/users/history/recommendations?n=10")
        return [one["instrument_id"] for one in answer.json()["items"] if one.get("source")]

    @until_true
    async def listed() -> None:
        assert len(await new()) == 1

    await listed()
    (first,) = await new()
    filled.impressions("history", {first: (1, NOW_MS)}, off=1)
    assert await new() == [81 - first]


async def test_without_a_discount_nothing_sinks(client: httpx.AsyncClient, filled: Filled) -> None:
    filled.impressions("history", {2: (9, NOW_MS)}, off=1)
    assert 2 not in await ids(client, "history")
    serve_discounting(filled, 0)

    @until_true
    async def followed() -> None:
        assert await ids(client, "history") == [2, 3, 4]

    await followed()


def test_impressions_are_read_in_the_same_rounds_and_only_if_they_count(
    store_url: str, filled: Filled, raw: Redis
) -> None:
    fill(filled)
    reader = Reader(store_url, filled, raw)
    read = {}
    for discount in (0, DISCOUNT):
        serve_discounting(filled, discount)
        read[discount] = []
        for _ in range(3):
            rounds: list[int] = []
            reader.run(reader.recommendations("model", TEN), rounds=rounds)
            read[discount].append(rounds)
    without, with_them = read[0], read[DISCOUNT]
    assert [len(rounds) for rounds in without] == [len(rounds) for rounds in with_them]
    assert sum(with_them[-1]) == sum(without[-1]) + 1


def test_a_kept_answer_of_a_user_with_impressions_lasts_an_hour(
    store_url: str, filled: Filled, raw: Redis
) -> None:
    fill(filled)
    filled.impressions("model", {2: (1, NOW_MS)}, off=1)
    hours = [HOUR]
    reader = Reader(store_url, filled, raw, wall_ms=lambda: hours[0] * HOUR_MS)
    _, made = reader.run(reader.recommendations("model", TEN))
    assert reader.run(reader.recommendations("model", TEN))[1] is made
    assert [item.score for item in made.items if item.instrument_id == 2] == [0.25]  # of 1 / 2
    hours[0] += 24 * 7
    _, later = reader.run(reader.recommendations("model", TEN))
    (score,) = [item.score for item in later.items if item.instrument_id == 2]
    assert 0.35 < score < 0.36
