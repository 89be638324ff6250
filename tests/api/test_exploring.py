"""A share of the slots shows other items than the best, and the id of the answer says so."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis

from api.events.parsing import InvalidEventsError
from api.feedback.parsing import parse_feedback
from api.models.request_ids import Signer
from api.recommendations.answers import Recommended
from api.recommendations.choosing import Chosen, Explorable, Wish
from api.recommendations.exploring import explored
from contracts.exploration import PARTS, Draw, decode_draw, encode_draw
from contracts.feedback import decode_shown, parse_request_id
from contracts.generations import Current, Served
from contracts.times import HOUR_MS
from tests.patience import until_true

from .all_but import AllBut
from .conftest import ALL_ALIKE, Filled, Serve
from .reading import Reader

SHARE = 0.25
TIMES = 40_000
USERS = [f"u{n}" for n in range(100)]


def found_of(items: Sequence[int], candidates: Sequence[int], offset: int = 0) -> Explorable:
    own, others = ([Recommended(item, 0, []) for item in some] for some in (items, candidates))
    return Explorable(own, own + others, offset, len(own) - offset, diversity=0)


@given(n=st.integers(1, 8), pool=st.integers(0, 12), share=st.floats(0, 0.5), seed=st.text())
def test_slots_that_are_not_explored_keep_their_items_and_no_item_comes_twice(
    n: int, pool: int, share: float, seed: str
) -> None:
    own, others = range(n), range(100, 100 + pool)
    items, draw = explored(found_of(own, others), share, seed)
    found = [item.instrument_id for item in items]
    assert len(set(found)) == len(found) == n
    for slot, item in enumerate(items):
        assert item.explored == (slot in draw.explored) == (item.instrument_id >= 100)
        assert item.explored or item.instrument_id == slot
    assert all(slot >= n - pool for slot in draw.explored)


@pytest.mark.parametrize(("n", "pool"), [(3, 5), (3, 2), (1, 1)])
def test_each_item_is_shown_as_often_as_its_logged_propensity_says(n: int, pool: int) -> None:
    found = found_of(range(n), range(100, 100 + pool))
    shown: Counter[tuple[int, int]] = Counter()
    for user in range(TIMES):
        items, _ = explored(found, SHARE, f"user {user}")
        shown.update((slot, item.instrument_id) for slot, item in enumerate(items))
    own, all_explored = (
        Draw(round(SHARE * PARTS), pool, frozenset(slots)) for slots in ((), range(n))
    )
    for slot in range(n):
        for item in (slot, *range(100, 100 + pool)):
            draw = own if item == slot else all_explored
            p = draw.propensity(slot, n)
            # Five standard deviations.
            assert shown[slot, item] / TIMES == pytest.approx(p, abs=5 * (p / TIMES) ** 0.5)


def exploring(share: float) -> Current:
    served = Served("g1", "cosine", "user-knn", ALL_ALIKE, exploration=share)
    return Current(1, {"default": served})


@pytest.fixture
def known(filled: Filled) -> Filled:
    """Users with item 1, whose list is 2, 3, ..."""
    filled.generation("g1", {"1": [(str(item), 1 / item, 1.0) for item in range(2, 40)]})
    for user in ("ABC", *USERS):
        filled.history(user, {"1": (1, 5)}, off=7)
    filled.serve(exploring(0.5))
    return filled


@pytest.fixture
async def client(serve: Serve, known: Filled) -> AsyncIterator[httpx.AsyncClient]:
    known.signer()
    async with serve() as client:
        yield client


async def recommended(
    client: httpx.AsyncClient, query: str = "n=5", user: str = "ABC"
) -> dict[str, Any]:
    answer = await client.get(f"/v1/users/{user}/recommendations?{query}")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_an_answer_says_what_was_explored_and_so_does_its_request_id(
    client: httpx.AsyncClient,
) -> None:
    slots: Counter[int] = Counter()
    for user in USERS:
        answer = await recommended(client, user=user)
        request = parse_request_id(answer["request_id"])
        assert request.draw is not None
        draw, items = decode_draw(request.draw), answer["items"]
        assert (draw.parts, draw.pool) == (PARTS // 2, 20)
        assert decode_shown(request.shown or "") == tuple(item["instrument_id"] for item in items)
        for slot, item in enumerate(items):
            assert item.get("explored", False) == (slot in draw.explored)
            candidates = range(7, 27) if slot in draw.explored else (slot + 2,)
            assert item["instrument_id"] in candidates
        slots.update(draw.explored)
    assert slots.keys() == set(range(5))
    legacy = await client.get("/instruments/similar/ABC")
    request = parse_request_id(legacy.headers["X-Request-Id"])
    assert request.draw is not None
    assert len(legacy.json()["predicted_items"]) == 10


async def test_what_a_request_rules_out_is_not_explored_and_diversity_comes_first(
    client: httpx.AsyncClient, known: Filled
) -> None:
    for item in range(1, 40):
        known.instrument(item, f"S{item}", categories=("few",) if item % 7 == 0 else ("many",))

    @until_true
    async def known_to_the_api() -> None:
        assert len((await recommended(client, "n=100&category=few"))["items"]) == 5
        assert len((await recommended(client, "n=100&category=many"))["items"]) == 33

    await known_to_the_api()
    for user in USERS[:20]:
        items = (await recommended(client, "n=3&category=few", user))["items"]
        assert {item["instrument_id"] for item in items} < {7, 14, 21, 28, 35}
    for user in USERS[:50]:
        answer = await recommended(client, "n=3&exclude=2,3,8&diversity=1", user)
        for slot, item in enumerate(answer["items"]):
            if not item.get("explored"):
                assert item["instrument_id"] == (4, 7, 5)[slot]
            assert item["instrument_id"] not in (1, 2, 3, 8)


async def test_without_exploration_nothing_shows_of_it(
    client: httpx.AsyncClient, known: Filled
) -> None:
    known.serve(exploring(0))

    @until_true
    async def followed() -> None:
        answer = await recommended(client)
        assert parse_request_id(answer["request_id"]).draw is None
        assert [item["instrument_id"] for item in answer["items"]] == [2, 3, 4, 5, 6]
        assert not any("explored" in item for item in answer["items"])

    await followed()


def test_feedback_with_another_draw_than_the_one_made_is_refused() -> None:
    draw = Draw(PARTS // 4, pool=40, explored=frozenset([2]))
    signer, items = Signer(b"a key"), [*range(10)]
    request_id = signer.new("default", "g1", "history", "ABC", items, draw)
    feedback = {"type": "click", "user_id": "ABC", "instrument_id": 2, "position": 3}

    def parsed(request_id: str) -> None:
        body = json.dumps(feedback | {"request_id": request_id}).encode()
        parse_feedback(body, signer, now_ms=1)

    parsed(request_id)
    made = f".{encode_draw(draw, 10)}."
    seldom = Draw(PARTS // 400, pool=400, explored=frozenset([2]))
    for lie in (".", f".{encode_draw(seldom, 10)}."):
        with pytest.raises(InvalidEventsError) as caught:
            parsed(request_id.replace(made, lie))
        assert "was not issued by this service" in caught.value.errors[0].reason


def test_draws_are_the_same_for_an_hour_and_others_after_it_and_for_other_users(
    store_url: str, known: Filled, raw: Redis
) -> None:
    hours = [0]
    reader = Reader(store_url, known, raw, wall_ms=lambda: hours[0] * HOUR_MS)

    def shown(user: str) -> list[int]:
        wish = Wish(5, frozenset(), include_seen=False)
        return [item.instrument_id for item in reader.run(reader.for_user(user, wish)).items]

    first = [shown(user) for user in USERS]
    assert [shown(user) for user in USERS] == first
    assert len({*map(tuple, first)}) > 50
    hours[0] += 1
    assert sum(shown(user) != items for user, items in zip(USERS, first, strict=True)) > 50


def test_the_cache_keeps_the_candidates_and_each_answer_is_drawn_from_them(
    store_url: str, known: Filled, raw: Redis
) -> None:
    reader = Reader(store_url, known, raw)
    wish = Wish(5, frozenset(), include_seen=False)
    made = reader.run(reader.recommendations("ABC", wish))[1]
    assert [item.instrument_id for item in made.items] == [2, 3, 4, 5, 6]
    assert made.explorable is not None
    assert [item.instrument_id for item in made.explorable.ranked] == [*range(2, 27)]
    assert reader.run(reader.recommendations("ABC", wish))[1] is made


@pytest.mark.parametrize("user", ["ABC", "listed", "nobody"])
@pytest.mark.parametrize(
    "wish",
    [
        Wish(5, frozenset(), include_seen=False),
        Wish(20, frozenset(), include_seen=False),
        Wish(5, frozenset({3, 60}), include_seen=False),
        Wish(5, frozenset(), include_seen=True),
        Wish(5, frozenset(), include_seen=False, diversity=0.5),
        Wish(5, frozenset(), include_seen=False, is_filtered=True, shown=AllBut({2, 4, 61})),
    ],
    ids=["short", "long", "with exclusions", "to buy again", "diverse", "filtered"],
)
def test_unless_it_is_explored_a_slot_has_the_item_that_it_would_have_had(
    store_url: str, filled: Filled, raw: Redis, user: str, wish: Wish
) -> None:
    lists = {"1": [(str(item), 1 / item, 1.0) for item in range(2, 14)]}
    filled.generation("g1", lists, popular=[(str(item), 100 - item) for item in range(60, 90)])
    filled.history("ABC", {"1": (1, 5)}, off=7)
    filled.history("listed", {"1": (1, 5)}, off=7)
    filled.user_list("g1", "listed", 7, [(str(item), 1 / item, ["1"]) for item in range(20, 28)])
    reader = Reader(store_url, filled, raw)

    def chosen(share: float) -> Chosen:
        filled.serve(exploring(share))
        return reader.run(reader.recommendations(user, wish))[1]

    plain, exploring_too = chosen(0), chosen(0.5)
    assert exploring_too.items == plain.items
    assert plain.explorable is None
    assert exploring_too.explorable is not None
    candidates = {item.instrument_id for item in exploring_too.explorable.ranked}
    assert len(candidates) > wish.n
    assert not candidates & wish.excluded
