"""The search itself: Optuna proposes settings, lists are made with them and judged.

Every trial is in the storage file as soon as it is over. A search that was stopped or killed
resumes from there when it is started again with the same data and question; one with others starts
a new study in the same file.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.samplers import TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.trial import TrialState

from trainer.judging.holdout import Holdout
from trainer.judging.metrics import judge, ndcg
from trainer.models.interface import Values
from trainer.tuning.tunable import Tunable

_DIGEST_BYTES: Final = 6
_LOCK_FOR_S: Final = 3
"""After which the lock of a run that was killed does not count; to write a trial takes far less."""


@dataclass(frozen=True, slots=True)
class Best:
    """The best settings that were tried."""

    ndcg: float
    """mean over the users of the validation split"""
    values: Values


@dataclass(frozen=True, slots=True)
class Search:
    """How a search goes."""

    storage: Path
    """the file that remembers the trials"""
    n: int
    """length of a list"""
    trials: int
    """how many in all, those of earlier runs included"""
    seed: int
    """of what is drawn; a resumed search draws other values"""

    def best(self, of: Tunable, holdout: Holdout, after_each: Callable[[int, Best], None]) -> Best:
        """Return the settings with the best nDCG.

        What it is set to is tried first, as near as the space allows.

        Args:
            of: what is tuned.
            holdout: the validation split.
            after_each: gets how many trials are over, and the best of them.

        Source: Bergstra et al., "Algorithms for hyper-parameter optimization", NIPS 2011 (TPE);
        Akiba et al., "Optuna: a next-generation hyperparameter optimization framework", KDD 2019.
        """
        study = self._study(of, holdout)
        if not _over(study):
            space, first = of.space, of.values({})
            study.enqueue_trial({key: _nearest(space[key], first[key]) for key in space})
        while (over := _over(study)) < self.trials:
            trial = study.ask(dict(of.space))
            recommended = of.recommend(dict(trial.params), holdout, self.n)
            study.tell(trial, float(ndcg(judge(holdout, recommended)).mean()))
            after_each(over + 1, _best(study))
        return _best(study)

    def _study(self, of: Tunable, holdout: Holdout) -> optuna.Study:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        path = str(self.storage)
        lock = JournalFileSymlinkLock(path, grace_period=_LOCK_FOR_S)
        study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(path, lock)),
            study_name=f"{of.name}, nDCG@{self.n}, data {_digest(holdout)}, set to {_set_to(of)}",
            direction="maximize",
            load_if_exists=True,
        )
        # The same seed would draw again what it has drawn already.
        study.sampler = TPESampler(seed=self.seed + len(study.trials))
        return study


def _digest(holdout: Holdout) -> str:
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for matrix in (holdout.train, holdout.streamed, holdout.test):
        digest.update(repr(matrix.shape).encode())
        for part in (matrix.indptr, matrix.indices, matrix.data):
            digest.update(part.tobytes())
    digest.update(holdout.histories.ts_ms.tobytes())
    return digest.hexdigest()


def _set_to(of: Tunable) -> str:
    """Return a digest of what is not searched, and of what is: other bounds are another study."""
    text = repr((sorted(of.fixed.items()), sorted(of.space.items())))
    return hashlib.blake2b(text.encode(), digest_size=_DIGEST_BYTES).hexdigest()


def _over(study: optuna.Study) -> int:
    # A trial that was killed stays "running" for ever, and is not one of these.
    return len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))


def _best(study: optuna.Study) -> Best:
    return Best(study.best_value, dict(study.best_params))


def _nearest(allowed: BaseDistribution, value: object) -> object:
    """Return the value that is nearest to one that may be out of bounds."""
    if isinstance(allowed, FloatDistribution | IntDistribution) and isinstance(value, int | float):
        return min(max(value, allowed.low), allowed.high)
    return value
