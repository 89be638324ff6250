"""Variants are the trainer's settings with some replaced, and live next to the default one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contracts.generations import DEFAULT_VARIANT
from contracts.keyspace import REPLACED_GENERATION_TTL_S
from tests.trainer.setup import Setup
from trainer.run.placing import Placing
from trainer.run.variants import read_variants
from trainer.settings import TrainerSettings
from trainer.settings_file import SettingsFileError
from trainer.stages import StoppedError

SETTINGS = TrainerSettings(item_model="cosine", user_model="user-knn")


def written(folder: Path, text: str) -> Path:
    path = folder / "variants.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "No such file"),
        ("[steep]\nredis_url = 'x'", "redis_url"),
        ("[steep]\nno_such = 1", "no_such"),
        ("[steep]\nactive_users = 5", "active_users"),
        ("[steep]\ntrain_every_seconds = 5", "train_every_seconds"),
        ("[steep]\nneighbors_per_item = 0", "neighbors_per_item"),
        ("[default]\n", "no variant's name"),
        ("[canary]\n", "no variant's name"),
        ("['a.b']\n", "no variant's name"),
        ("steep = 1", "no table"),
        ("steep =", "Invalid value"),
    ],
)
def test_invalid_variants_are_named(tmp_path: Path, text: str | None, said: str) -> None:
    path = tmp_path / "variants.toml" if text is None else written(tmp_path, text)
    with pytest.raises(SettingsFileError, match=rf"(?s)variants\.toml \(VARIANTS\).*{said}"):
        read_variants(path, SETTINGS)


def test_a_variant_is_a_generation_until_the_file_drops_it(setup: Setup, tmp_path: Path) -> None:
    setup.fill(np.ones((4, 3)))
    variants = written(tmp_path, "[few]\nneighbors_per_item = 1")
    assert [setup.run(variants=variants) for _ in range(2)] == ["trained", "unchanged"]
    few = setup.served("few").generation
    assert few == f"{setup.served().generation}-1"
    reports = [setup.report(variant) for variant in (DEFAULT_VARIANT, "few")]
    assert [(r.variant, r.lists.similar_entries) for r in reports] == [("default", 6), ("few", 3)]

    written(tmp_path, "[few]\nneighbors_per_item = 2")
    assert setup.run(variants=variants) == "trained"
    assert 0 < setup.store.ttl(setup.keys.model_popular(few)) <= REPLACED_GENERATION_TTL_S

    written(tmp_path, "")
    assert setup.run(variants=variants) == "trained"
    assert setup.current.variants.keys() == {DEFAULT_VARIANT}
    assert setup.store.zcard(setup.keys.model_generations()) == 1


def test_a_run_that_ends_between_two_variants_is_completed_by_the_next_one(
    setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup.fill(np.ones((4, 3)))
    variants = written(tmp_path, "[few]\nneighbors_per_item = 1")
    assert setup.run(variants=variants) == "trained"
    setup.something_happens()
    place, placed = Placing.place, []

    def once(placing: Placing, *generation: Any) -> None:
        if placed:
            raise StoppedError("between two variants")
        placed.append(generation)
        place(placing, *generation)

    with monkeypatch.context() as patched:
        patched.setattr(Placing, "place", once)
        assert setup.run(variants=variants) == "stopped"
    assert [setup.run(variants=variants) for _ in range(2)] == ["trained", "unchanged"]
    generations = [served.generation for served in setup.current.variants.values()]
    assert {generation.split("-")[1] for generation in generations} == {"3"}
