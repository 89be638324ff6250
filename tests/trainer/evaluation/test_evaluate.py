"""`python -m trainer evaluate`, as people call it."""

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from trainer.__main__ import app
from trainer.evaluation import run
from trainer.evaluation.files import read_interactions
from trainer.evaluation.measuring import judge_fold
from trainer.evaluation.splits import temporal
from trainer.judging.measures import NAMES
from trainer.models import MODELS
from trainer.settings import AUTO, TrainerSettings
from trainer.settings_file import changed


def evaluate(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


def found_by(*arguments: str | Path) -> Any:
    """Return what is found, as it is printed for programs."""
    return json.loads(evaluate(*arguments, "--json").stdout)


def value_of(of_model: Any, metric: str) -> float:
    return float(of_model["measured"]["metrics"][metric]["value"])


def test_all_models_are_measured_and_shown_on_one_static_page(shop: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    found = found_by("--interactions", shop, "--n", "3", "--report", page)
    assert [of_model["model"] for of_model in found["models"]] == [AUTO, *MODELS]
    for of_model in found["models"]:
        assert set(of_model["measured"]["metrics"]) == set(NAMES)
        assert of_model["measured"]["n"] == 3
        for estimate in of_model["measured"]["metrics"].values():
            assert estimate["low"] <= estimate["value"] <= estimate["high"]
    assert found["data"]["users_judged"] == found["models"][0]["measured"]["users"] > 20
    text = page.read_text()
    assert text.count("<svg") == 3
    assert not re.search(r"<(script|link|img|iframe)", text)
    assert not re.search(r"(src|url)\s*[=(]\s*[\"']?https?:", text)
    assert [name for name in MODELS if f"<td>{name}</td>" not in text] == []


def test_the_lists_that_are_written_are_those_measured(shop: Path, tmp_path: Path) -> None:
    lists = tmp_path / "lists.csv"
    asked = ("--interactions", shop, "--model", "cosine", "--n", "4")
    (of_model,) = found_by(*asked, "--recommendations", lists)["models"]
    rows = list(csv.DictReader(lists.open()))
    assert list(rows[0]) == ["user_id", "instrument_id", "rank", "score"]
    test = temporal(read_interactions(shop), 0.25)
    seen = set(zip(test.train.users, test.train.items.tolist(), strict=True))
    wanted = set(zip(test.test.users, test.test.items.tolist(), strict=True)) - seen
    hits = [(r["user_id"], int(r["instrument_id"])) in wanted for r in rows]
    users = {user for user, _ in wanted}
    assert np.sum(hits) / (4 * len(users)) == pytest.approx(value_of(of_model, "precision"))
    first = [r for r in rows if r["user_id"] == rows[0]["user_id"]]
    assert [r["rank"] for r in first] == ["1", "2", "3", "4"]
    scores = [float(r["score"]) for r in first]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize(
    ("folds", "interrupted_at", "measured"), [(1, 2, ["cosine"]), (2, 4, ["cosine", "popular"])]
)
def test_ctrl_c_leaves_what_was_measured_on_the_same_folds(
    shop: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    folds: int,
    interrupted_at: int,
    measured: list[str],
) -> None:
    calls = iter(range(1, 10))

    def judge(*given: Any) -> Any:
        if next(calls) == interrupted_at:
            raise KeyboardInterrupt
        return judge_fold(*given)

    monkeypatch.setattr(run, "judge_fold", judge)
    page = tmp_path / "report.html"
    asked = ("--model", "cosine", "--model", "popular", "--folds", str(folds), "--report", page)
    done = evaluate("--interactions", shop, *asked, "--json")
    assert done.exit_code == 130
    assert f"measured only {', '.join(measured)} on 1 of {folds} folds" in done.stderr
    found = json.loads(done.stdout)
    assert [of_model["model"] for of_model in found["models"]] == measured
    assert found["data"]["folds"] == 1
    assert page.exists()
    assert re.search(r"^cosine lists \d+/\d+$", done.stderr, re.MULTILINE)  # it is no terminal


def test_the_workers_settings_decide_what_is_learned_from(shop: Path) -> None:
    cosine = ("--interactions", shop, "--model", "cosine")
    plain = found_by(*cosine)
    weighed = found_by(*cosine, "--worker", "affinity=weighted", "--worker", "user_weight=value")
    capped = found_by(*cosine, "--worker", "history_cap=3")
    assert value_of(weighed["models"][0], "ndcg") != value_of(plain["models"][0], "ndcg")
    assert weighed["data"]["affinities"] == plain["data"]["affinities"]
    assert capped["data"]["affinities"] == 3 * capped["data"]["users"]


def test_auto_shows_every_candidate_and_writes_the_best_as_settings_of_the_trainer(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    best = tmp_path / "best.toml"
    asked = ("--interactions", shop, "--model", "auto", "--set", "neighbors_per_item=90")
    (auto,) = found_by(*asked)["models"]
    shown = evaluate(*asked, "--best", best)
    (found,) = auto["found"]
    assert len(found["tried"]) > 20
    tried = [line.split() for line in shown.stdout.splitlines() if "item_model=" in line]
    assert len(tried) == len(found["tried"])
    (chosen,) = [line for line in tried if line[0] == "chosen"]
    assert f"item_model={found['values']['item_model']}" in chosen

    assert best.read_text().startswith(f"# Made by `python -m trainer evaluate`. {found['why']}")
    monkeypatch.setenv("TRAINER_SETTINGS_FILE", str(best))
    settings = TrainerSettings()
    assert settings == changed(settings, {**found["values"], "neighbors_per_item": 90})
    by_name = settings.user_model if settings.user_model != "none" else settings.item_model
    (as_set,) = found_by("--interactions", shop, "--model", by_name)["models"]
    assert as_set["measured"] == auto["measured"]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ([], "give either --interactions FILE or both --train FILE and --test FILE"),
        (["--train", "a.csv"], "give either --interactions FILE or both"),
        (["--interactions", "none.csv"], "none.csv: No such file or directory: give the path"),
        (["--interactions", "SHOP", "--set", "shrinkage=1"], "no setting is called shrinkage"),
        (["--interactions", "SHOP", "--set", "cosine_shrinkage=x"], "COSINE_SHRINKAGE='x'"),
        (["--interactions", "SHOP", "--worker", "cap=1"], "--worker: no setting is called cap"),
        (["--interactions", "SHOP", "--worker", "history_cap=0"], "HISTORY_CAP='0'"),
        (["--interactions", "SHOP", "--settings", "none.toml"], "none.toml: No such file"),
        (["--interactions", "SHOP", "--recommendations", "x.csv"], "name one --model"),
        (["--interactions", "SHOP", "--model", "ease", "--best", "x.toml"], "add --model auto"),
        (["--interactions", "SHOP", "--folds", "5", "--best", "x.toml"], "no --folds"),
        (["--interactions", "SHOP", "--folds", "5", "--split", "temporal"], "per-user or last"),
        (["--train", "SHOP", "--test", "SHOP", "--folds", "5"], "of --interactions FILE"),
        (["--interactions", "SHOP", "--report", "none/x.html"], "x.html: there is no folder none"),
    ],
)
def test_errors_are_reported_in_one_line(arguments: list[str], error: str, shop: Path) -> None:
    result = evaluate(*(shop if argument == "SHOP" else argument for argument in arguments))
    assert result.exit_code == 2
    assert error in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
