"""A user erased over HTTP is gone from all programs, and stays so after a replay."""

import time

import httpx
import pytest

from contracts.messages import Interaction
from tests.integration.conftest import Pipeline, kill
from tests.patience import eventually

pytestmark = pytest.mark.slow

BASE_MS = 1_700_000_040_000
ERASED = "u3"
"""A user with three of the items that all have."""


def taken(users: range) -> list[Interaction]:
    return [
        Interaction(user_id=f"u{user}", instrument_id=item, ts=BASE_MS + 1_000 * user + item)
        for user in users
        for item in range(1, 4 + user % 3)
    ]


@pytest.fixture
def trained(pipeline: Pipeline) -> Pipeline:
    """Some users' events, folded and trained on: each user has an own list."""
    pipeline.publish(taken(range(12)))
    with pipeline.worker():
        pipeline.wait_until_folded()
    pipeline.run("trainer", "once", user_model="user-knn")
    return pipeline


def source(address: str) -> str:
    answer = httpx.get(f"{address}/v1/users/{ERASED}/recommendations").raise_for_status()
    found: str = answer.json()["source"]
    return found


def status(address: str, what: str) -> int:
    return httpx.get(f"{address}/v1/users/{ERASED}/{what}").status_code


def is_drawn(address: str) -> bool:
    """Whether the user is among those with a history, who are fewer than requested."""
    answer = httpx.get(f"{address}/v1/users?n=100").raise_for_status()
    return ERASED in answer.json()["user_ids"]


def keys_of_the_erased(pipeline: Pipeline) -> list[str]:
    return list(pipeline.store.scan_iter(f"{pipeline.namespace}:*:{ERASED}"))


def check_gone(pipeline: Pipeline, address: str) -> None:
    assert (status(address, "history"), status(address, "export")) == (404, 404)
    assert source(address) == "popular"
    assert not is_drawn(address)
    assert pipeline.gram() == pipeline.gram_of_histories()


def test_an_erased_user_is_gone_in_every_process_and_after_a_replay(
    trained: Pipeline,
) -> None:
    with trained.api() as address, trained.api() as other_address:
        for process in (address, other_address):
            assert source(process) == "model"  # kept by the process
            assert source(process) == "model"
            assert is_drawn(process)
        export = httpx.get(f"{address}/v1/users/{ERASED}/export").raise_for_status().json()
        assert [known["instrument_id"] for known in export["history"]] == [3, 2, 1]
        assert [own["up_to_date"] for own in export["lists"]] == [True]

        answer = httpx.delete(f"{address}/v1/users/{ERASED}")
        assert (answer.status_code, answer.json()) == (202, {"user_id": ERASED})
        with trained.worker() as worker:
            trained.wait_until_folded()
            for process in (address, other_address):
                check_gone(trained, process)
            # A client resends what it sent before the erasure.
            trained.publish([event for event in taken(range(12)) if event.user_id == ERASED])
            trained.wait_until_folded()
            check_gone(trained, address)
            kill(worker)

        trained.empty_store()
        with trained.worker():
            trained.wait_until_folded()
            assert status(address, "history") == 404
            assert trained.gram() == trained.gram_of_histories()
            # Until the next flush of the partition the offset of the erasure stays, under the user.
            others = [event for event in taken(range(12)) if event.user_id != ERASED]
            trained.publish(others)
            trained.wait_until_folded()
            eventually(lambda: not keys_of_the_erased(trained), "no key names the user")


def test_a_list_that_a_training_writes_from_before_an_erasure_is_never_served(
    trained: Pipeline,
) -> None:
    (own_key,) = (key for key in keys_of_the_erased(trained) if ":user:" in key)
    written = trained.store.get(own_key)
    with trained.api() as address, trained.worker():
        httpx.delete(f"{address}/v1/users/{ERASED}").raise_for_status()
        trained.wait_until_folded()
        trained.store.set(own_key, written)
        assert source(address) == "popular"
        now_ms = time.time_ns() // 1_000_000
        comes_back = Interaction(user_id=ERASED, instrument_id=1, ts=now_ms)
        trained.publish([comes_back])
        trained.wait_until_folded()
        eventually(lambda: status(address, "history") == 200, "the user starts over")
        assert source(address) == "history"
        httpx.delete(f"{address}/v1/users/{ERASED}").raise_for_status()
        trained.wait_until_folded()
        check_gone(trained, address)
