"""One run: from what stands in Redis to generations that are served, or on trial."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec
import numpy as np

from contracts.keyspace import DEFAULT_VARIANT, Keyspace
from contracts.messages import Ints
from runtime.stores import Store
from runtime.topology import Topology
from trainer.counts.gram import read_gram
from trainer.counts.histories import read_user_items
from trainer.counts.matrices import Gram, UserItems
from trainer.experiments.rules import CanaryRules, read_rules
from trainer.experiments.trial import Trial, Waiting
from trainer.experiments.variants import read_variants
from trainer.generations.inputs import read_inputs, served_popularity, served_report
from trainer.generations.placing import Placing
from trainer.generations.publication import generation_id, publication
from trainer.generations.report import Checked, Data, Inputs, Lists, Report
from trainer.generations.writing import Models, Writing
from trainer.models.making import model_of
from trainer.quality.gate import BadDataError
from trainer.quality.telling import tell
from trainer.settings import TrainerSettings
from trainer.stages import Stages


class Skipped(StrEnum):
    """Why a run published nothing."""

    UNCHANGED = "unchanged"
    """what is served was made from the same counts, histories and settings"""
    EMPTY = "empty"
    """nobody has anything yet"""


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """What all generations of a run are made from."""

    gram: Gram
    user_items: UserItems
    inputs: Inputs
    checked: list[Checked]
    started: datetime
    seconds: dict[str, float]
    """stage -> time that it took up to here"""


@dataclass(frozen=True, slots=True)
class Training:
    """What a run works with."""

    store: Store
    keyspace: Keyspace
    settings: TrainerSettings
    fence: int
    """the fencing token of the lock that the run holds"""
    stages: Stages
    now: Callable[[], datetime]

    def run(self, *, only_if_changed: bool) -> Report | Skipped | Waiting:
        """Judge a canary whose time is over, train, publish, and return the default one's report.

        Args:
            only_if_changed: false if a person asks for the run: it then waits for no trial either.

        Raises:
            TopologyError: the topics were never made.
            CorruptValueError: counts or histories are not as they must be.
            BadDataError: they break a hard rule.
            RulesError, VariantsError: a file that the settings name is not as it must be.
            SupersededError: another trainer took over.
            HeldError: a person rolled back meanwhile.
        """
        started, path = self.now(), self.settings.canary_rules
        rules = read_rules(path) if path else None
        others = self._others()
        waiting = self._trial(rules).step()
        if only_if_changed and waiting is not None:
            return waiting
        noted: Any = self.store.hgetall(self.keyspace.topics())
        topology = Topology.from_hash(noted)
        inputs = read_inputs(self.store, self.keyspace, topology, self.settings, others)
        served = served_report(self.store, self.keyspace)
        if only_if_changed and served is not None and inputs == served.inputs:
            return Skipped.UNCHANGED
        gram, user_items = self._read(topology)
        if not len(gram.items) and not user_items.users:
            return Skipped.EMPTY
        placing = self._placing(rules, others, by_person=not only_if_changed)
        checked = self._checked(gram, served, placing, started)
        seconds = self.stages.seconds.copy()
        learned = Learned(gram, user_items, inputs, checked, started, seconds)
        # A run that ends halfway is made up for: it is the default one's report that tells whether
        # anything has changed, so that one comes last.
        for place, (variant, settings) in enumerate(others.items(), start=1):
            self._publish(learned, variant, settings, place, placing)
        return self._publish(learned, DEFAULT_VARIANT, self.settings, 0, placing)

    def _others(self) -> dict[str, TrainerSettings]:
        """Return the variants beside the default one."""
        path = self.settings.variants
        return read_variants(path, self.settings) if path else {}

    def _trial(self, rules: CanaryRules | None) -> Trial:
        return Trial(
            store=self.store,
            keyspace=self.keyspace,
            rules=rules,
            kafka=self.settings.kafka_bootstrap_servers,
            keep=self.settings.keep_generations,
            fence=self.fence,
            now=self.now,
        )

    def _placing(
        self, rules: CanaryRules | None, others: Mapping[str, object], *, by_person: bool
    ) -> Placing:
        return Placing(
            store=self.store,
            keyspace=self.keyspace,
            rules=rules,
            keep=self.settings.keep_generations,
            by_person=by_person,
            variants=others.keys(),
            now=self.now,
        )

    def _read(self, topology: Topology) -> tuple[Gram, UserItems]:
        with self.stages.timed("read counts"):
            gram = read_gram(self.store, self.keyspace, topology.cooccurrences, self.stages)
        with self.stages.timed("read histories"):
            user_items = read_user_items(
                self.store,
                self.keyspace,
                topology.interactions,
                self.settings.active_users,
                self.stages,
            )
        return gram, user_items

    def _checked(
        self, gram: Gram, served: Report | None, placing: Placing, started: datetime
    ) -> list[Checked]:
        """Return what was checked of the counts.

        Raises:
            BadDataError: they break a hard rule; it is noted.
        """
        with self.stages.timed("check counts"):
            from trainer.quality.checking import check  # takes two seconds

            before = served_popularity(self.store, self.keyspace, served) if served else None
            checked = check(gram, before, self.settings)
        try:
            tell(checked)
        except BadDataError as error:
            placing.rejected(generation_id(started, self.fence), str(error))
            raise
        return checked

    def _publish(
        self,
        learned: Learned,
        variant: str,
        settings: TrainerSettings,
        place: int,
        placing: Placing,
    ) -> Report:
        """Make a variant's generation and let its readers have it."""
        models = models_of(settings)
        before = self.stages.seconds.copy()
        generation = generation_id(learned.started, self.fence, place)
        with publication(self.store, self.keyspace, generation, self.fence) as made:
            writing = Writing(made, self.keyspace, self.stages)
            lists = writing.write(models, learned.gram, learned.user_items)
            report = self._report(learned, variant, generation, lists, before)
            made.write({self.keyspace.model_report(generation): msgspec.json.encode(report)})
        placing.place(made, variant, models.items.name, models.users.name)
        return report

    def _report(
        self,
        learned: Learned,
        variant: str,
        generation: str,
        lists: Lists,
        before: Mapping[str, float],
    ) -> Report:
        own = {
            stage: seconds - before.get(stage, 0)
            for stage, seconds in self.stages.seconds.items()
            if stage not in learned.seconds
        }
        return Report(
            generation=generation,
            fence=self.fence,
            started=learned.started.isoformat(),
            finished=self.now().isoformat(),
            inputs=learned.inputs,
            data=data_of(learned.gram, learned.user_items),
            lists=lists,
            seconds={stage: round(s, 6) for stage, s in (learned.seconds | own).items()},
            variant=variant,
            quality=learned.checked,
        )


def models_of(settings: TrainerSettings) -> Models:
    """Return the models of a variant."""
    return Models(
        items=model_of(settings.item_model, settings),
        users=model_of("user-knn", settings),
        popular=model_of("popular", settings),
    )


def data_of(gram: Gram, user_items: UserItems) -> Data:
    """Return how much there was to learn from."""
    own = gram.counts.diagonal()
    others: Ints = np.diff(gram.counts.indptr) - (own > 0)
    return Data(
        items=len(gram.items),
        pairs=int(others.sum()) // 2,
        items_of_one_user=int((own == 1).sum()),
        items_alone=int((others == 0).sum()),
        users=len(user_items.users),
        affinities=user_items.affinities.nnz,
        own_counts=float(own.sum()),
    )
