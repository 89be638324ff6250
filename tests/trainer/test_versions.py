"""The stages that DVC runs: their commands exist, and they measure what `evaluate` measures."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from typer.testing import CliRunner

from trainer import versions
from trainer.__main__ import app as trainer
from trainer.evaluation.interactions import Splitting
from trainer.evaluation.splits import Question
from trainer.models import ITEM_MODELS
from trainer.settings import TrainerSettings
from trainer.settings_file import read_settings_file
from trainer.versions.__main__ import app

FOLDER: Final = Path(versions.__file__).parent
STAGES: Final = yaml.safe_load((FOLDER / "dvc.yaml").read_text())["stages"]
PARAMETERS: Final = yaml.safe_load((FOLDER / "params.yaml").read_text())
PROGRAMS: Final = {"trainer": trainer, "trainer.versions": app}


def filled_in(text: str) -> str:
    """Return a text of dvc.yaml as DVC makes it: a mapping becomes options, a list repeats one."""

    def value(name: str) -> Any:
        found: Any = PARAMETERS
        for part in name.split("."):
            found = found[part]
        if not isinstance(found, dict):
            return found
        return " ".join(
            f"--{option} {one}"
            for option, values in found.items()
            for one in (values if isinstance(values, list) else [values])
        )

    return re.sub(r"\$\{([\w.]+)\}", lambda match: str(value(match[1])), text)


def commands() -> Iterator[tuple[str, str]]:
    """Yield each command and the name of its stage before it."""
    for name, stage in STAGES.items():
        for command in stage["cmd"] if isinstance(stage["cmd"], list) else [stage["cmd"]]:
            yield name, filled_in(command)


def asked(command: str) -> tuple[str, list[str]]:
    python, dash_m, program, *arguments = shlex.split(command.partition(">")[0])
    assert (python, dash_m) == ("python", "-m")
    return program, arguments


def run(command: str, folder: Path, **other: str) -> str:
    program, arguments = asked(command)
    files = [str(folder / a) if re.search(r"\.[a-z]\w*$", a) else a for a in arguments]
    done = CliRunner().invoke(PROGRAMS[program], [other.get(a, a) for a in files])
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize("split", ["temporal", "per-user"])
def test_the_stages_measure_what_evaluate_does(shop: Path, tmp_path: Path, split: str) -> None:
    of_stage: dict[str, list[str]] = {}
    for name, command in commands():
        of_stage.setdefault(name, []).append(command)
    other = {str(tmp_path / PARAMETERS["interactions"]): str(shop), "temporal": split}
    run(*of_stage["data"], tmp_path, **other)  # type: ignore[call-arg]
    run(*of_stage["split"], tmp_path, **other)  # type: ignore[call-arg]
    parts = [tmp_path / f"{part}.parquet" for part in ("train", "test")]
    asked = Question(None, *parts, Splitting(split), 0.25, 1).split()  # type: ignore[call-arg]
    assert asked.at_random == (split == "per-user")
    evaluate, measures = of_stage["evaluate"]
    models = ["--model", "cosine", "--model", "auto"]
    printed = run(" ".join([evaluate.partition(">")[0], *models]), tmp_path)
    (tmp_path / "evaluation.json").write_text(printed)
    run(measures, tmp_path)
    assert read_settings_file(tmp_path / "best.toml", TrainerSettings)["item_model"] in ITEM_MODELS
    assert (tmp_path / "report.html").exists()

    options = ["--split", split, *models, "--json"]
    whole = CliRunner().invoke(trainer, ["evaluate", "--interactions", str(shop), *options])
    expected = {
        of_model["model"]: {
            name: round(measure["value"], 6)
            for name, measure in of_model["measured"]["metrics"].items()
        }
        for of_model in json.loads(whole.stdout)["models"]
    }
    assert json.loads((tmp_path / "metrics.json").read_text()) == expected
