"""An experiment by command and over HTTP: who gets which variant, and the effect of weights."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from contracts.messages import Interaction
from tests.integration.conftest import Pipeline

pytestmark = pytest.mark.slow

BASE_MS = 1_700_000_040_000
USERS = [f"user {n}" for n in range(1_000)]
TOLERANCE = 0.05
"""Over three standard deviations of a share of 1,000 users: 3 x sqrt(0.25 / 1,000) is 0.047."""


@pytest.fixture
def variants(pipeline: Pipeline, tmp_path: Path) -> Path:
    """Two variants besides the default one, trained on ten users' events."""
    path = tmp_path / "variants.toml"
    path.write_text(
        "[few]\nneighbors_per_item = 1\n"
        '[steep]\nitem_model = "cosine"\ncosine_popularity_damping = 0.7\n'
    )
    taken = [
        Interaction(user_id=f"u{u}", instrument_id=item, ts=BASE_MS + item)
        for u in range(10)
        for item in (1, 2, 3)
    ]
    with pipeline.worker():
        pipeline.publish(taken)
        pipeline.wait_until_folded()
    pipeline.run("trainer", "once", variants=str(path))
    return path


@pytest.fixture
def client(pipeline: Pipeline, variants: Path) -> Iterator[httpx.Client]:
    with pipeline.api() as address, httpx.Client(base_url=address) as client:
        yield client


def answers(client: httpx.Client) -> dict[str, dict[str, Any]]:
    """Return what each user is recommended."""
    asked = {user: client.get(f"/v1/users/{user}/recommendations") for user in USERS}
    return {user: answer.raise_for_status().json() for user, answer in asked.items()}


def variant_of_each(client: httpx.Client) -> dict[str, str]:
    return {user: answer["variant"] for user, answer in answers(client).items()}


def shares(found: dict[str, str]) -> dict[str, float]:
    variants = list(found.values())
    return {name: variants.count(name) / len(variants) for name in sorted(set(variants))}


def test_users_are_assigned_by_weight_and_move_only_into_growing_variants(
    pipeline: Pipeline, client: httpx.Client, variants: Path
) -> None:
    assert shares(variant_of_each(client)) == {"default": 1}

    pipeline.run("trainer", "weights", "spring", "default=2", "few=1", "steep=1")
    first = answers(client)
    before = {user: answer["variant"] for user, answer in first.items()}
    assert shares(before) == pytest.approx(
        {"default": 0.5, "few": 0.25, "steep": 0.25}, abs=TOLERANCE
    )
    generations = {(answer["variant"], answer["generation"]) for answer in first.values()}
    assert len(generations) == 3

    # Neither other lists nor another API process moves users.
    pipeline.run("trainer", "once", variants=str(variants))
    with pipeline.api() as address, httpx.Client(base_url=address) as another:
        assert variant_of_each(another) == before
    later = answers(client)
    assert {user: answer["variant"] for user, answer in later.items()} == before
    assert not generations & {(a["variant"], a["generation"]) for a in later.values()}

    pipeline.run("trainer", "weights", "spring", "default=2", "few=3", "steep=1")
    after = variant_of_each(client)
    assert shares(after) == pytest.approx(
        {"default": 2 / 6, "few": 3 / 6, "steep": 1 / 6}, abs=TOLERANCE
    )
    assert {after[user] for user in USERS if after[user] != before[user]} == {"few"}

    pipeline.run("trainer", "weights")
    assert shares(variant_of_each(client)) == {"default": 1}
