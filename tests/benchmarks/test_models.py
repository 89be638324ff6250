"""What `models` says rests on the validation split, and on both lists of each user."""

import io
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from rich.console import Console
from scipy.sparse import csr_array, load_npz

from benchmarks.harness.contender import ContenderError
from benchmarks.implicit import Implicit, TunableImplicit
from benchmarks.models import AsItComes, leads, report
from tests.trainer.evaluation.made import holdout_of
from trainer.evaluation.measuring import measure
from trainer.evaluation.preparing import LeftOut
from trainer.evaluation.result import Data, Evaluation, OfModel
from trainer.judging.holdout import Holdout
from trainer.judging.recommending import NONE, Recommended
from trainer.models import MODELS
from trainer.settings import AUTO, TrainerSettings
from trainer.tuning.run import Tuned
from trainer.tuning.search import Best

USERS, ITEMS = 40, 12

PEER = """
import json, sys
import numpy as np
for line in sys.stdin:
    job = json.loads(line)
    if job["settings"]["K"] == 13:
        sys.exit(1)
    lowest = -np.finfo(np.float32).max
    np.save(f"{sys.argv[1]}/items.npy", np.array([[2, 0, 1], [0, -1, -1]], np.int32))
    np.save(f"{sys.argv[1]}/scores.npy", np.array([[2, 1, lowest], [1, 0, 0]], np.float32))
    print("done", flush=True)
"""


def standings(found: dict[str, int], validation: dict[str, float]) -> Tuned:
    """Results of models that find the only item of so many of the users."""
    nothing = csr_array((USERS, ITEMS))
    train = nothing + csr_array(np.eye(USERS, ITEMS))
    wanted = csr_array(np.eye(USERS, ITEMS, k=1) + np.eye(USERS, ITEMS, k=ITEMS - USERS))
    holdout = holdout_of(train.toarray(), wanted.toarray())
    ndcg, models = {}, []
    for model, hits in found.items():
        items = np.full((len(holdout.judged), 10), NONE)
        right = wanted[holdout.judged].argmax(axis=1)
        items[:hits, 0] = np.asarray(right).ravel()[:hits]
        recommended = Recommended(holdout.judged, items, np.where(items == NONE, 0.0, 1.0))
        measured = measure(holdout, recommended)
        models.append(OfModel(model, {}, {"recommend": 1.5}, measured))
        ndcg[model] = np.where(np.arange(len(items)) < hits, 1.0, 0.0)
    data = Data("a file", USERS, ITEMS, 1, len(holdout.judged), 1, LeftOut(0, 0, 0, 0))
    best = {name: Best(value, {}) for name, value in validation.items()}
    return Tuned(best, Evaluation(data, 1, models), ndcg)


FOUND = {
    "popular": 1,
    "auto": 9,
    "user-knn": 11,
    "implicit ALS, tuned": 9,
    "implicit BM25, tuned": 2,
}


def test_ours_is_auto_and_theirs_is_the_one_that_the_validation_split_chose() -> None:
    validation = {"implicit ALS": 0.1, "implicit BM25": 0.2}
    (line,) = report(standings(FOUND, validation), trials=5, n=10).lines().splitlines()
    said = msgspec.json.decode(line)
    assert said["unit"] == "nDCG@10 of auto"
    assert said["baseline"].startswith("implicit BM25, tuned of implicit 0.7")
    assert said["ratio"] == 4.5
    assert [*said["leads"]] == ["popular", "implicit ALS, tuned", "implicit BM25, tuned"]
    assert [of["model"] for of in said["evaluation"]["models"]] == [*FOUND]


def test_ahead_is_only_what_is_ahead_with_other_users_too() -> None:
    validation = {"implicit ALS": 0.1, "implicit BM25": 0.2}
    of = standings(FOUND, validation)
    assert leads(of)["implicit ALS, tuned"] == (0, (0, 0))
    out = io.StringIO()
    report(of, trials=5, n=10).show(Console(file=out, width=140))
    printed = out.getvalue()
    assert "auto: ahead of implicit BM25, tuned in nDCG@10 by 0.3" in printed
    assert "auto: not surely ahead of implicit ALS, tuned in nDCG@10 by 0.0000" in printed
    for title in ("nDCG@10", "95 %", "MAP", "precision", "novelty", "seconds"):
        assert title in printed


@pytest.mark.parametrize("name", [AUTO, *MODELS])
def test_our_models_are_not_tuned(name: str) -> None:
    its = AsItComes(name, TrainerSettings())
    assert its.space == {}
    assert its.values({}) == {}
    assert its.fixed.keys() >= {"item_model", "neighbors_per_item"}


@pytest.fixture
def holdout() -> Holdout:
    return holdout_of([[1, 1, 0], [0, 1, 1], [1, 0, 0]], [[0, 0, 1], [1, 0, 0], [0, 0, 0]])


def test_the_peer_gets_the_matrix_and_its_padding_is_dropped(
    holdout: Holdout, tmp_path: Path
) -> None:
    argv = [sys.executable, "-c", PEER, str(tmp_path)]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as process:
        implicit = Implicit(process, tmp_path)
        its = TunableImplicit("implicit cosine", {}, {"K": 20}, implicit, {"seed": 1})
        assert its.values({"K": 5}) == {"K": 5, "seed": 1}
        found = its.recommend({}, holdout, 3)
        assert found.items.tolist() == [[2, 0, NONE], [0, NONE, NONE]]
        assert found.scores.tolist() == [[2, 1, 0], [1, 0, 0]]
        its.recommend({}, holdout, 3)
        assert [path.name for path in tmp_path.glob("*.npz")] == ["0.npz"]
        assert load_npz(tmp_path / "0.npz").toarray().tolist() == holdout.train.toarray().tolist()
        assert np.load(tmp_path / "0-users.npy").tolist() == [0, 1]
        with pytest.raises(ContenderError, match="implicit ended in the middle of"):
            its.recommend({"K": 13}, holdout, 3)
        process.wait()
        with pytest.raises(ContenderError, match="implicit ended"):
            its.recommend({}, holdout, 3)
