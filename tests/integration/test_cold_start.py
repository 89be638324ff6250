"""New users and new items, through all programs: what they get without any history."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from contracts.messages import Interaction
from tests.integration.conftest import Pipeline
from tests.patience import eventually

pytestmark = pytest.mark.slow

BASE_MS = 1_700_000_040_000
BASKET = (1, 2, 3)
NEW_ITEM = 99
DEMANDED = (1, NEW_ITEM)
BOOKS = (50, 51, 52)
LISTED = 98


def taken(users: range, items: tuple[int, ...]) -> list[Interaction]:
    return [
        Interaction(user_id=f"u{u}", instrument_id=item, ts=BASE_MS + 1_000 * u + item)
        for u in users
        for item in items
    ]


@pytest.fixture
def address(pipeline: Pipeline) -> Iterator[str]:
    """The API, over lists from ten users' events; a worker keeps folding."""
    with pipeline.worker():
        pipeline.publish(taken(range(10), BASKET))
        pipeline.wait_until_folded()
        pipeline.run("trainer", "once")
        with pipeline.api() as address:
            yield address


def recommended(address: str, user: str) -> dict[str, Any]:
    answer = httpx.get(f"{address}/v1/users/{user}/recommendations").raise_for_status()
    body: dict[str, Any] = answer.json()
    return body


def ids(answer: dict[str, Any]) -> set[int]:
    return {item["instrument_id"] for item in answer["items"]}


def counted(address: str, source: str) -> float:
    """Return how often responses came from a source."""
    lines = httpx.get(f"{address}/metrics").text.splitlines()
    return sum(
        float(line.rpartition(" ")[2])
        for line in lines
        if line.startswith("api_recommendations_total{") and f'source="{source}"' in line
    )


def test_a_new_user_gets_popular_items_and_similar_ones_after_the_first_event(
    address: str,
) -> None:
    first = recommended(address, "newcomer")
    assert (first["source"], ids(first)) == ("popular", set(BASKET))

    event = {"type": "interaction", "user_id": "newcomer", "instrument_id": 1, "ts": BASE_MS}
    httpx.post(f"{address}/v1/events", json=event).raise_for_status()
    eventually(
        lambda: recommended(address, "newcomer")["source"] == "history",
        "the event counts without a training",
    )
    folded_in = recommended(address, "newcomer")
    assert ids(folded_in) == set(BASKET) - {1}
    assert all(item["because"] == [1] for item in folded_in["items"])
    assert counted(address, "popular") >= 1
    assert counted(address, "history") >= 1


def test_a_new_item_is_in_lists_with_the_first_training_after_its_counts(
    pipeline: Pipeline, address: str
) -> None:
    similar = f"{address}/v1/instruments/{NEW_ITEM}/similar"
    assert httpx.get(similar).status_code == 404
    pipeline.publish(taken(range(100, 103), DEMANDED))
    pipeline.wait_until_folded()
    assert httpx.get(similar).status_code == 404

    pipeline.run("trainer", "once")
    assert ids(httpx.get(similar).raise_for_status().json()) == {1}
    of_one = httpx.get(f"{address}/v1/instruments/1/similar").raise_for_status().json()
    assert NEW_ITEM in ids(of_one)
    # Users with the old item are recommended the new one, at once.
    assert NEW_ITEM in ids(recommended(address, "u0"))


def test_a_new_listing_is_shown_to_whom_it_concerns(pipeline: Pipeline, address: str) -> None:
    pipeline.publish(taken(range(200, 210), BOOKS))
    pipeline.wait_until_folded()
    pipeline.run("trainer", "once")
    for items, category in ((BASKET, "toys"), (BOOKS, "books")):
        for item in items:
            describe(address, item, category)

    def sources(user: str, query: str = "") -> dict[int, str | None]:
        path = f"{address}/v1/users/{user}/recommendations{query}"
        items = httpx.get(path).raise_for_status().json()["items"]
        return {item["instrument_id"]: item.get("source") for item in items}

    of_toys = "?category=toys"
    assert "new" not in sources("u0").values()
    describe(address, LISTED, "toys")
    eventually(lambda: sources("u0").get(LISTED) == "new", "the listing is shown")
    assert sources("u0", of_toys) == {LISTED: "new"}
    assert LISTED not in sources("u200")
    assert sources("u200", of_toys) == {**dict.fromkeys(BASKET), LISTED: "catalog"}

    pipeline.publish(taken(range(300, 303), (1, LISTED)))
    pipeline.wait_until_folded()
    pipeline.run("trainer", "once")
    eventually(lambda: sources("u0").get(LISTED, "") is None, "it is in lists")


def describe(address: str, item: int, category: str) -> None:
    described = {"symbol": f"S{item}", "name": "Name", "categories": [category]}
    httpx.put(f"{address}/v1/instruments/{item}", json=described).raise_for_status()
