"""The models of implicit, in a process of their own, as tunable models.

They are the baseline of `benchmarks.models`; the process is `benchmarks.peers.implicit`.
"""

import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from optuna.distributions import FloatDistribution, IntDistribution
from scipy.sparse import csr_array, save_npz

from benchmarks.harness.contender import ContenderError
from benchmarks.harness.environments import pinned_version, python_of
from infra.local.paths import PROJECT
from trainer.judging.holdout import Holdout
from trainer.judging.recommending import NONE, Recommended
from trainer.models.interface import Values
from trainer.tuning.space import Space
from trainer.tuning.tunable import Tunable

NAME: Final = "implicit"
_NEIGHBORS: Final = IntDistribution(10, 400, log=True)
"""As many as ours may have."""


@dataclass(slots=True)
class Implicit:
    """The process that has implicit."""

    process: subprocess.Popen[bytes]
    folder: Path
    holdouts: list[Holdout] = field(default_factory=list)
    """whose matrices are in the folder, under their places here"""

    def recommend(self, model: str, settings: Values, holdout: Holdout, n: int) -> Recommended:
        """Return the lists of a model.

        Raises:
            ContenderError: the process ended; what it said is on standard error.
        """
        job = {"matrix": self._place(holdout), "model": model, "settings": settings, "n": n}
        self._ask(job)
        items, scores = (np.load(self.folder / f"{name}.npy") for name in ("items", "scores"))
        # Where it knows no more, it fills up at the lowest score, or with items below 0.
        known = (items >= 0) & (scores > np.finfo(np.float32).min)
        return Recommended(holdout.judged, np.where(known, items, NONE), np.where(known, scores, 0))

    def _ask(self, job: Values) -> None:
        assert self.process.stdin
        assert self.process.stdout
        try:
            self.process.stdin.write(msgspec.json.encode(job) + b"\n")
        except BrokenPipeError as error:
            raise ContenderError(f"{NAME} ended before {job}") from error
        if not self.process.stdout.readline():
            raise ContenderError(f"{NAME} ended in the middle of {job}")

    def _place(self, holdout: Holdout) -> int:
        for place, known in enumerate(self.holdouts):
            if known is holdout:
                return place
        place = len(self.holdouts)
        save_npz(self.folder / f"{place}.npz", csr_array(holdout.train.astype(np.float32)))
        np.save(self.folder / f"{place}-users.npy", holdout.judged)
        self.holdouts.append(holdout)
        return place


@dataclass(frozen=True, slots=True)
class TunableImplicit:
    """A model of implicit."""

    name: str
    space: Space
    defaults: Mapping[str, float]
    """its makers' values of what is searched"""
    implicit: Implicit
    fixed: Mapping[str, Any] = field(default_factory=dict)
    """what is the same in every trial"""

    def values(self, changed: Values) -> Values:
        """Return the arguments of its class."""
        return dict(self.defaults) | dict(self.fixed) | changed

    def recommend(self, changed: Values, holdout: Holdout, n: int) -> Recommended:
        """Return its lists."""
        return self.implicit.recommend(self.name, self.values(changed), holdout, n)


def version() -> str:
    """Return what is measured against."""
    return f"{NAME} {pinned_version(NAME)}"


@contextmanager
def implicit_models(seed: int) -> Iterator[Sequence[Tunable]]:
    """Run the process for the block, and hand out its models.

    Raises:
        NoEnvironmentError: implicit is unavailable here; the text says why.
    """
    python = python_of(NAME)
    # One thread of BLAS is its makers' advice: it has threads of its own.
    environment = {"PYTHONPATH": str(PROJECT), "OPENBLAS_NUM_THREADS": "1"}
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            [python, "-W", "ignore", "-m", f"benchmarks.peers.{NAME}", folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,  # a buffer would have to be emptied into a process that has ended
            env=os.environ | environment,
        ) as process,
    ):
        yield _models(Implicit(process, Path(folder)), seed)


def _models(implicit: Implicit, seed: int) -> Sequence[Tunable]:
    return (
        TunableImplicit("implicit cosine", {"K": _NEIGHBORS}, {"K": 20}, implicit),
        TunableImplicit(
            "implicit BM25",
            {
                "K": _NEIGHBORS,
                "K1": FloatDistribution(0.1, 200, log=True),
                "B": FloatDistribution(0, 1),
            },
            {"K": 20, "K1": 1.2, "B": 0.75},
            implicit,
        ),
        TunableImplicit(
            "implicit ALS",
            {
                "factors": IntDistribution(16, 200, log=True),
                "regularization": FloatDistribution(0.001, 100, log=True),
                "alpha": FloatDistribution(0.3, 40, log=True),
            },
            {"factors": 100, "regularization": 0.01, "alpha": 1.0},
            implicit,
            {"random_state": seed},
        ),
    )
