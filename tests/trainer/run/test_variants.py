"""Variants are the trainer's settings with some replaced, and live next to the default one."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contracts.generations import DEFAULT_VARIANT
from contracts.keyspace import REPLACED_GENERATION_TTL_S
from tests.trainer.setup import Setup
from trainer.models import ITEM_MODELS
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


def test_each_variant_is_a_generation_of_its_own_until_the_file_drops_it(
    setup: Setup, tmp_path: Path
) -> None:
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


class Ticking:
    """A clock that goes on by a second whenever it is looked at."""

    def __init__(self) -> None:
        self.perf_counter = itertools.count().__next__


def test_each_variant_has_the_model_of_its_settings_and_a_report_of_its_own(
    setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.stages.time", Ticking())
    setup.fill(np.ones((4, 3)))
    path = written(tmp_path, "".join(f"[{name}]\nitem_model = '{name}'\n" for name in ITEM_MODELS))
    assert setup.run(variants=path) == "trained"
    assert [setup.served(name).model for name in ITEM_MODELS] == list(ITEM_MODELS)
    variants = list(setup.current.variants)
    reports = [setup.report(name) for name in variants]
    assert [report.variant for report in reports] == variants
    # The time of its own lists, and of what was read for all.
    stages = ("read counts", "check counts", "write item lists", "write user lists")
    for report in reports:
        assert [report.seconds[stage] for stage in stages] == [1, 1, 1, 1]
