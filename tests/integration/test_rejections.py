"""What users hide and dislike, from an event over HTTP to the next answers."""

import time

import httpx
import pytest

from contracts.messages import Interaction
from tests.integration.conftest import Pipeline
from tests.patience import eventually

pytestmark = [pytest.mark.kafka_only, pytest.mark.stack]

LIKED, ALIKE, DISLIKED, OTHER, UNLIKE = 1, 2, 3, 4, 5


def shop(now_ms: int) -> list[Interaction]:
    """Events of two groups of users; ALIKE goes with DISLIKED more than OTHER does."""
    baskets = [(LIKED, ALIKE, DISLIKED)] * 6 + [(LIKED, OTHER)] * 5 + [(UNLIKE, DISLIKED)] * 2
    events = [
        Interaction(user_id=f"u{n}", instrument_id=item, ts=now_ms - 1_000_000)
        for n, items in enumerate(baskets)
        for item in items
    ]
    return [*events, Interaction(user_id="me", instrument_id=LIKED, ts=now_ms - 1_000)]


def test_a_dislike_is_never_shown_again_changes_the_answer_and_is_taken_back_by_a_trade(
    pipeline: Pipeline,
) -> None:
    now_ms = time.time_ns() // 1_000_000
    with pipeline.worker(), pipeline.api() as address, httpx.Client(base_url=address) as client:

        def shown(**query: object) -> dict[int, str]:
            """Return the source of each item."""
            asked = client.get("/v1/users/me/recommendations", params=query).raise_for_status()
            answer = asked.json()
            return {i["instrument_id"]: i.get("source", answer["source"]) for i in answer["items"]}

        def folded_in() -> list[int]:
            return [item for item, source in shown().items() if source == "history"]

        def act(event: str, item: int) -> None:
            whose = {"type": "interaction", "user_id": "me", "ts": now_ms}
            body = {**whose, "instrument_id": item, "event": event}
            client.post("/v1/events", json=body).raise_for_status()

        def folded() -> dict[tuple[int, int], float]:
            pipeline.wait_until_folded()
            found = pipeline.gram()
            assert found == pipeline.gram_of_histories()
            return found

        def events_of(item: int) -> int:
            answer = client.get("/v1/trending").raise_for_status().json()
            return sum(i["events"] for i in answer["items"] if i["instrument_id"] == item)

        pipeline.publish(shop(now_ms))
        before = folded()
        pipeline.run("trainer", "once", item_model="cosine", user_model="none")
        eventually(lambda: folded_in() == [ALIKE, OTHER, DISLIKED], "a model is served")

        act("trade", DISLIKED)
        eventually(lambda: DISLIKED not in shown(), "what was traded is left out")
        assert DISLIKED in shown(include_seen="true")
        assert folded() != before

        act("dislike", DISLIKED)
        eventually(lambda: DISLIKED not in shown(include_seen="true"), "it is never shown")
        # Evidence against what goes with it, which was first before.
        assert folded_in() == [OTHER]
        assert DISLIKED not in shown()
        assert folded() == before

        act("hide", OTHER)
        eventually(lambda: OTHER not in shown(include_seen="true"), "it is hidden")
        # Nothing is left of the model; popular items come in its place, but not these two.
        assert {DISLIKED, OTHER}.isdisjoint(shown())
        assert folded() == before
        eventually(lambda: events_of(OTHER) == 5, "it was no event of what is trending")

        act("trade", DISLIKED)
        eventually(lambda: DISLIKED in shown(include_seen="true"), "an ordinary item again")
        assert folded() != before
