"""One run: from counts and histories to generations that are served, or on trial."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import starmap
from typing import TYPE_CHECKING, Any

import structlog

from contracts.generations import DEFAULT_VARIANT, UnderWay
from contracts.keyspace import Keyspace
from runtime.redis.stores import Store
from runtime.topology import Topology
from trainer.counts.derived import histories_of
from trainer.counts.matrices import Gram
from trainer.generations.decisions import (
    events_folded,
    note_under_way,
    served_popularity,
    served_report,
)
from trainer.generations.gate import AccuracyGate, Gate, Waiting
from trainer.generations.publication import generation_id, read_current
from trainer.generations.report import Inputs, Report
from trainer.judging.search import SAMPLE_USERS
from trainer.quality.checking import Checked, check
from trainer.quality.reporting import BadDataError, report_corrupt, report_rules
from trainer.run.building import Building, users_listed
from trainer.run.lock import LEASE_S
from trainer.run.placing import Placing
from trainer.run.searching import Searches
from trainer.run.selecting import Learned
from trainer.settings import AUTO, TrainerSettings
from trainer.source import Source
from trainer.stages import Stages

if TYPE_CHECKING:
    from trainer.judging.comparison import Periods

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
    searches: Searches

    def run(self, *, only_if_changed: bool) -> Report | Skipped | Waiting:
        """Judge a canary that is due, train, publish, and return the default variant's report.

        Args:
            only_if_changed: false for an operator's run: it then waits for no trial either.

        Raises:
            TopologyError: the topics were never made.
            CorruptValueError: too many counts or histories are corrupt.
            BadDataError: they break a hard rule.
            SettingsFileError: a file that the settings name is invalid.
            SupersededError: another trainer took over.
            HeldError: an operator rolled back in the meantime.
        """
        started, gate = self.now(), self._gate(by_person=not only_if_changed)
        others = self._others()
        # A run that does not wait for a trial replaces a canary whose period is not over.
        waiting = self._waiting(gate)
        if only_if_changed and waiting is not None:
            return waiting
        noted: Any = self.store.hgetall(self.keyspace.topics())
        topology = Topology.from_hash(noted)
        origin = self.source.origin(topology)
        of_others = {name: other.of_generation() for name, other in others.items()}
        inputs = Inputs(self.settings.of_generation(), origin.positions, of_others, origin.archive)
        served = served_report(self.store, self.keyspace)
        chosen = starmap(self.searches.choice, ((DEFAULT_VARIANT, self.settings), *others.items()))
        is_same = served is not None and inputs == served.inputs and not any(chosen)
        if only_if_changed and is_same:
            return Skipped.UNCHANGED
        users = max(map(users_needed, [self.settings, *others.values()]))
        gram, user_items = self.source.read(topology, users, self.stages)
        if not len(gram.items) and (served is None or not user_items.users):
            return Skipped.EMPTY  # or the first counts are still to be written
        if not self.searches.under_way:
            lists = UnderWay("lists", started.isoformat(), events_folded(inputs))
            note_under_way(self.store, self.keyspace, lists, LEASE_S)
        placing = self._placing(others, by_person=not only_if_changed)
        checked = self._checked(gram, served, placing, started)
        seconds = self.stages.seconds.copy()
        histories, stored = histories_of(user_items, gram.items)
        learned = Learned(gram, user_items, histories, stored, inputs, checked, started, seconds)
        report_corrupt(learned.corrupt, learned.n_corrupt)
        building = Building(learned, placing, gate, self.fence, self.stages, self.searches)
        # A run that ends halfway is repeated: the default variant's report decides whether anything
        # has changed, so it comes last.
        for place, (variant, settings) in enumerate(others.items(), start=1):
            try:
                building.publish(variant, settings, place)
            except BadDataError as error:
                # What it serves stays, so it does not block the others.
                log.error("rejected", variant=variant, reason=str(error))  # noqa: TRY400
        report = building.publish(DEFAULT_VARIANT, self.settings, 0)
        self.searches.begin()
        return report

    def _gate(self, *, by_person: bool) -> Gate:
        """Return what decides on generations; without rules, nothing of experiments is imported."""
        accuracy, path = AccuracyGate(by_person), self.settings.canary_rules
        if path is None:
            return accuracy
        from trainer.judging.canary import CanaryGate, read_rules

        keep = self.settings.keep_generations
        return CanaryGate(accuracy, read_rules(path), self._periods(), keep, self.fence, self.now)

    def _waiting(self, gate: Gate) -> Waiting | None:
        """Compare what is due, and return what the run has to wait for."""
        current, now = read_current(self.store, self.keyspace), self.now()
        experiment = current.experiment if current else None
        if experiment and experiment.started and now.timestamp() * 1000 >= experiment.until_ms:
            from trainer.judging.comparison import compare_variants

            compare_variants(self._periods(), experiment, now)
        return Waiting.HELD if current and current.held else gate.waiting()

    def _periods(self) -> "Periods":
        from trainer.judging.comparison import Periods

        return Periods(self.store, self.keyspace, self.settings.kafka, self.stages)

    def _others(self) -> dict[str, TrainerSettings]:
        """Return the variants other than the default one."""
        if self.settings.variants is None:
            return {}
        from trainer.run.variants import read_variants

        return read_variants(self.settings.variants, self.settings)

    def _placing(self, others: Mapping[str, object], *, by_person: bool) -> Placing:
        return Placing(
            store=self.store,
            keyspace=self.keyspace,
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
