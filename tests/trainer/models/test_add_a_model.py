"""Two files add a model: its own, and its line in `MODELS`. All else knows it then.

The trainer runs in child processes, from a copy to which they were added: `cosine` by another name.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from contracts.generations import SimilarList
from tests.trainer.setup import Setup
from trainer.models import MODELS

ROOT = Path(__file__).parents[3]
LINE = '        "ease": ease.ENTRY,\n'
Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a module of the copy, with environment variables; return what it printed."""
    shutil.copytree(ROOT / "trainer", tmp_path / "trainer")
    models = tmp_path / "trainer/models"
    cosine = (models / "cosine.py").read_text()
    renamed = cosine.replace("cosine", "again").replace("Cosine", "Again")
    (models / "again.py").write_text(renamed)
    registry = (models / "__init__.py").read_text()
    assert LINE in registry
    registry = registry.replace(LINE, f'{LINE}        "again": again.ENTRY,\n')
    registry = registry.replace("import cosine, ease,", "import again, cosine, ease,")
    (models / "__init__.py").write_text(registry)

    def run(*arguments: str | Path, **environment: str) -> str:
        paths = os.pathsep.join([str(tmp_path), str(ROOT)])
        done = subprocess.run(
            [sys.executable, "-m", *map(str, arguments)],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": paths} | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_auto_tries_it_and_it_is_trained_and_served(
    run: Run, setup: Setup, environment: dict[str, str]
) -> None:
    random = np.random.default_rng(1)
    kinds = np.arange(60)[:, None] % 4 == np.arange(24) % 4
    setup.fill((random.random((60, 24)) < np.where(kinds, 0.8, 0.1)) * 1.0)
    run("trainer", "once", **environment | {"ITEM_MODEL": "auto", "USER_MODEL": "none"})
    report = setup.report()
    assert report.selection is not None
    tried = [one.values["item_model"] for one in report.selection.found.tried]
    candidates = {name for name, entry in MODELS.items() if entry.candidates}
    assert candidates | {"again"} == set(tried)

    run("trainer", "once", **environment | {"ITEM_MODEL": "again", "AGAIN_SHRINKAGE": "2"})
    report = setup.report()
    assert report.settings["again"]["shrinkage"] == 2
    similar = setup.read(setup.keys.model_similar(report.generation, "100"), SimilarList)
    assert similar.model == "again"


def test_it_is_held_to_what_every_model_must_do(run: Run) -> None:
    suite = Path(__file__).with_name("test_conformance.py")
    # The claims without Hypothesis are tried: who adds a model runs all of them.
    of_it = ("-k", "again and checkerboard", "--confcutdir", suite.parent)
    assert "2 passed" in run("pytest", suite, *of_it)
