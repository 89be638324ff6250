"""One run: from counts and histories to generations that are served, or on trial."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import structlog

from contracts.generations import DEFAULT_VARIANT
from contracts.keyspace import Keyspace
from runtime.redis.stores import Store
from runtime.topology import Topology
from trainer.counts.derived import histories_of
from trainer.counts.matrices import Gram
from trainer.experiments.rules import CanaryRules, read_rules
from trainer.experiments.trial import Trial, Waiting
from trainer.experiments.variants import read_variants
from trainer.generations.inputs import served_popularity, served_report
from trainer.generations.publication import generation_id
from trainer.generations.report import Inputs, Report
from trainer.quality.checking import Checked, check
from trainer.quality.gate import BadDataError, report_corrupt, report_rules
from trainer.run.building import Building, users_listed
from trainer.run.learned import Learned
from trainer.run.placing import Placing
from trainer.selection.auto import SAMPLE_USERS
from trainer.settings import AUTO, TrainerSettings
from trainer.source import Source
from trainer.stages import Stages

log = structlog.get_logger(__name__)


class Skipped(StrEnum):
    """Why a run published nothing."""

    UNCHANGED = "unchanged"
    """what is served was made from the same counts, histories and settings"""
    EMPTY = "empty"
    """there is no data yet"""


@dataclass(frozen=True, slots=True)
class Training:
    """What a run works with."""

    store: Store
    keyspace: Keyspace
    source: Source
    settings: TrainerSettings
    fence: int
    """the fencing token of the lock that the run holds"""
    stages: Stages
    now: Callable[[], datetime]

    def run(self, *, only_if_changed: bool) -> Report | Skipped | Waiting:
        """Judge a canary that is due, train, publish, and return the default variant's report.

        Args:
            only_if_changed: false for an operator's run: it then waits for no trial either.

        Raises:
            TopologyError: the topics were never made.
            CorruptValueError: too many counts or histories are corrupt.
            BadDataError: they break a hard rule.
            RulesError, VariantsError: a file that the settings name is invalid.
            SupersededError: another trainer took over.
            HeldError: an operator rolled back in the meantime.
        """
        started, path = self.now(), self.settings.canary_rules
        rules = read_rules(path) if path else None
        others = self._others()
        # A run that does not wait for a trial replaces a canary that is not due.
        waiting = self._trial(rules).step(notes=only_if_changed)
        if only_if_changed and waiting is not None:
            return waiting
        noted: Any = self.store.hgetall(self.keyspace.topics())
        topology = Topology.from_hash(noted)
        origin = self.source.origin(topology)
        of_others = {name: other.of_generation() for name, other in others.items()}
        inputs = Inputs(self.settings.of_generation(), origin.positions, of_others, origin.archive)
        served = served_report(self.store, self.keyspace)
        if only_if_changed and served is not None and inputs == served.inputs:
            return Skipped.UNCHANGED
        users = max(map(users_needed, [self.settings, *others.values()]))
        gram, user_items = self.source.read(topology, users, self.stages)
        if not len(gram.items) and not user_items.users:
            return Skipped.EMPTY
        placing = self._placing(rules, others, by_person=not only_if_changed)
        checked = self._checked(gram, served, placing, started)
        seconds = self.stages.seconds.copy()
        histories, stored = histories_of(user_items, gram.items)
        learned = Learned(gram, user_items, histories, stored, inputs, checked, started, seconds)
        report_corrupt(learned.corrupt, learned.n_corrupt)
        building = Building(
            self.store, self.keyspace, learned, placing, self.fence, self.stages, self.now
        )
        # A run that ends halfway is repeated: the default variant's report decides whether anything
        # has changed, so it comes last.
        for place, (variant, settings) in enumerate(others.items(), start=1):
            try:
                building.publish(variant, settings, place)
            except BadDataError as error:
                # What it serves stays, so it does not block the others.
                log.error("rejected", variant=variant, reason=str(error))  # noqa: TRY400
        return building.publish(DEFAULT_VARIANT, self.settings, 0)

    def _others(self) -> dict[str, TrainerSettings]:
        """Return the variants other than the default one."""
        path = self.settings.variants
        return read_variants(path, self.settings) if path else {}

    def _trial(self, rules: CanaryRules | None) -> Trial:
        return Trial(
            store=self.store,
            keyspace=self.keyspace,
            rules=rules,
            kafka=self.settings.kafka,
            keep=self.settings.keep_generations,
            fence=self.fence,
            now=self.now,
            stages=self.stages,
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

    def _checked(
        self, gram: Gram, served: Report | None, placing: Placing, started: datetime
    ) -> list[Checked]:
        """Return what was checked of the counts.

        Raises:
            BadDataError: they break a hard rule; it is noted.
        """
        with self.stages.timed("check counts"):
            before = served_popularity(self.store, self.keyspace, served) if served else None
            checked = check(gram, before, self.settings.quality)
        try:
            report_rules(checked)
        except BadDataError as error:
            placing.rejected(generation_id(started, self.fence), DEFAULT_VARIANT, str(error))
            raise
        return checked


def users_needed(settings: TrainerSettings) -> int:
    """Return of how many users histories are read."""
    needed = max(users_listed(settings), SAMPLE_USERS)
    model = settings.item_model
    counted = model == AUTO or not settings.counting(model).is_streamed
    return max(needed, settings.counts.users) if counted else needed
