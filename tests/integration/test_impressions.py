"""What a user was shown over HTTP without a click sinks, and a click brings it back."""

from typing import Any

import httpx
import pytest

from contracts.impressions import KEPT_DAYS
from contracts.messages import Interaction
from contracts.times import DAY_S
from contracts.topics import FEEDBACK
from tests.integration.conftest import Pipeline, kill

pytestmark = pytest.mark.stack

BASE_MS = 1_700_000_040_000
USER = "u0"
OFTEN = 3


def events() -> list[Interaction]:
    """Users have item 1 and some of items 2 to 6, the lower ones more often; `USER` only item 1."""
    return [
        Interaction(user_id=f"u{user}", instrument_id=item, ts=BASE_MS + 1_000 * user + item)
        for user in range(12)
        for item in range(1, 2 + user % 6)
    ]


def recommended(address: str) -> tuple[str, list[int]]:
    """Return the request id of an answer, and its instruments."""
    url = f"{address}/v1/users/{USER}/recommendations?n=2"
    answer: dict[str, Any] = httpx.get(url).raise_for_status().json()
    return answer["request_id"], [item["instrument_id"] for item in answer["items"]]


def react(address: str, kind: str, request_id: str, items: list[int]) -> None:
    reactions = [
        {
            "type": kind,
            "request_id": request_id,
            "user_id": USER,
            "instrument_id": item,
            "position": place,
        }
        for place, item in enumerate(items, start=1)
    ]
    httpx.post(f"{address}/v1/feedback", json=reactions).raise_for_status()


def test_items_that_were_shown_sink_across_a_kill_and_a_click_brings_one_back(
    pipeline: Pipeline,
) -> None:
    pipeline.publish(events())
    with pipeline.worker():
        pipeline.wait_until_folded()
    pipeline.run("trainer", "once", impression_discount="0.5", item_model="cosine")
    with pipeline.api() as address:
        request_id, first = recommended(address)
        assert recommended(address)[1] == first
        with pipeline.worker() as worker:
            for _ in range(OFTEN):
                request_id, _ = recommended(address)
                react(address, "impression", request_id, first)
                react(address, "impression", request_id, first)  # a client may send it again
            pipeline.wait_until_folded([FEEDBACK])
            kill(worker)
        (key,) = pipeline.store.scan_iter(f"{pipeline.namespace}:impressions:*")
        shown = pipeline.store.hgetall(key)
        assert all(shown[str(item)].startswith(f'{{"n":{OFTEN},') for item in first)
        assert 0 < pipeline.store.ttl(key) <= KEPT_DAYS * DAY_S
        assert not {*recommended(address)[1]} & {*first}
        with pipeline.worker():
            react(address, "click", request_id, first[:1])
            pipeline.wait_until_folded([FEEDBACK])
            assert recommended(address)[1][0] == first[0]
            check_erased(pipeline, address, request_id, first)


def check_erased(pipeline: Pipeline, address: str, request_id: str, items: list[int]) -> None:
    """Check that the user can see and erase what was shown, and that it does not come back."""
    export = httpx.get(f"{address}/v1/users/{USER}/export").raise_for_status().json()
    shown = {one["instrument_id"]: one["impressions"] for one in export["shown"]}
    assert shown == {items[0]: 0, items[1]: OFTEN}
    httpx.delete(f"{address}/v1/users/{USER}").raise_for_status()
    assert not [*pipeline.store.scan_iter(f"{pipeline.namespace}:impressions:*")]
    react(address, "impression", request_id, items[1:])  # a client is late
    pipeline.wait_until_folded([FEEDBACK])
    (key,) = pipeline.store.scan_iter(f"{pipeline.namespace}:impressions:*")
    assert pipeline.store.hgetall(key)[str(items[1])].startswith('{"n":1,')
    assert 0 < pipeline.store.ttl(key) <= KEPT_DAYS * DAY_S
