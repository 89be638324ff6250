"""A namespace of the store, settings of the trainer, and the events of a small shop."""

from pathlib import Path

import numpy as np
import pytest

from contracts.keyspace import Keyspace
from runtime.redis.stores import Store
from tests.patience import PATIENCE_S
from tests.trainer.setup import Setup, unwatched
from trainer.reading import hashes
from trainer.settings import TrainerSettings
from trainer.stages import Stages


@pytest.fixture
def settings(store_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> TrainerSettings:
    monkeypatch.setattr("trainer.run.runs.LEASE_S", PATIENCE_S)
    return TrainerSettings(
        redis_url=store_url,
        namespace=namespace,
        metrics_port=0,
        item_model="cosine",
        user_model="user-knn",
    )


@pytest.fixture
def environment(store_url: str, namespace: str) -> dict[str, str]:
    """Of a child process."""
    return {
        "REDIS_URL": store_url,
        "NAMESPACE": namespace,
        "ITEM_MODEL": "cosine",
        "USER_MODEL": "user-knn",
    }


@pytest.fixture
def setup(store: Store, keyspace: Keyspace, settings: TrainerSettings) -> Setup:
    return Setup(store, keyspace, settings)


@pytest.fixture
def stages() -> Stages:
    return unwatched()


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A file of 60 users who buy among 20 items: even ones or odd ones, seldom the others."""
    random = np.random.default_rng(7)
    rows = ["ts_ms,user_id,instrument_id,price,quantity"]
    for ts in range(1_500):
        user = int(random.integers(60))
        kind = user % 2 if random.random() < 0.9 else 1 - user % 2
        item = 2 * int(random.integers(10)) + kind
        rows.append(f"{ts},u{user:02d},{100 + item},1.5,2")
    path = tmp_path / "shop.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture(params=[5_000, 2])
def long_row(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """The most fields of a hash that is read at once: longer ones are read bit by bit."""
    monkeypatch.setattr(hashes, "LONG_ROW", request.param)
    return int(request.param)
