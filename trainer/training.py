"""One run: from what stands in Redis to generations that are served, or on trial."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec
import numpy as np
import structlog

from contracts.keyspace import DEFAULT_VARIANT, Keyspace
from contracts.messages import Floats, Ints
from runtime.stores import Store
from runtime.topology import Topology
from trainer.counts.derived import Histories, completed, first_users, gram_of, histories_of
from trainer.counts.gram import read_gram
from trainer.counts.histories import read_user_items
from trainer.counts.matrices import Gram, UserItems
from trainer.experiments.rules import CanaryRules, read_rules
from trainer.experiments.trial import Trial, Waiting
from trainer.experiments.variants import read_variants
from trainer.generations.inputs import (
    events_folded,
    read_inputs,
    served_popularity,
    served_report,
)
from trainer.generations.placing import Placing
from trainer.generations.publication import generation_id, publication
from trainer.generations.report import Checked, Data, HeldOut, Inputs, Lists, Report, Selection
from trainer.generations.writing import Models, Writing
from trainer.quality.accuracy import check_accuracy
from trainer.quality.gate import BadDataError
from trainer.quality.telling import tell, tell_corrupt, tell_held_out
from trainer.settings import AUTO, TrainerSettings
from trainer.settings_file import changed
from trainer.stages import Stages
from trainer.tuning.found import Found

log = structlog.get_logger(__name__)


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
    histories: Histories
    """of the same users, with a column for each item of `gram`"""
    stored: Floats
    """(entries,) beside their affinities: the same as in Redis, users' scales included"""
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
            CorruptValueError: too many counts or histories are not as they must be.
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
        gram, user_items = self._read(topology, [self.settings, *others.values()])
        if not len(gram.items) and not user_items.users:
            return Skipped.EMPTY
        tell_corrupt([*gram.corrupt, *user_items.corrupt], gram.n_corrupt + user_items.n_corrupt)
        placing = self._placing(rules, others, by_person=not only_if_changed)
        checked = self._checked(gram, served, placing, started)
        seconds = self.stages.seconds.copy()
        histories, stored = histories_of(user_items, gram.items)
        learned = Learned(gram, user_items, histories, stored, inputs, checked, started, seconds)
        # A run that ends halfway is made up for: it is the default one's report that tells whether
        # anything has changed, so that one comes last.
        for place, (variant, settings) in enumerate(others.items(), start=1):
            try:
                self._publish(learned, variant, settings, place, placing)
            except BadDataError as error:
                # What is served of it stays, and so it does not keep the others waiting.
                log.error("rejected", variant=variant, reason=str(error))  # noqa: TRY400
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

    def _read(
        self, topology: Topology, of_variants: list[TrainerSettings]
    ) -> tuple[Gram, UserItems]:
        with self.stages.timed("read counts"):
            gram = read_gram(self.store, self.keyspace, topology.cooccurrences, self.stages)
        with self.stages.timed("read histories"):
            user_items = read_user_items(
                self.store,
                self.keyspace,
                topology.interactions,
                max(map(users_needed, of_variants)),
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
            checked = check(gram, before, self.settings.quality)
        try:
            tell(checked)
        except BadDataError as error:
            placing.rejected(generation_id(started, self.fence), DEFAULT_VARIANT, str(error))
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
        before = self.stages.seconds.copy()
        served = served_report(self.store, self.keyspace, variant)
        selection, found = self._chosen_by(learned, settings, served)
        made_with = changed(settings, selection.found.values) if selection else settings
        held_out = held_out_of(found)
        latest = placing.latest(variant)
        accuracy = check_accuracy(held_out, served, settings.quality, latest, self.now())
        generation = generation_id(learned.started, self.fence, place)
        if not placing.by_person:
            try:
                tell(accuracy, told=learned.checked)
            except BadDataError as error:
                placing.rejected(generation, variant, str(error))
                raise
        models = models_of(made_with)
        with publication(self.store, self.keyspace, generation, self.fence) as made:
            writing = Writing(made, self.keyspace, self.stages)
            counts = self._counts(learned, made_with)
            users = first_users(learned.user_items, users_listed(made_with))
            lists = writing.write(models, learned.gram, counts, users)
            report = msgspec.structs.replace(
                self._report(learned, variant, generation, lists, before),
                quality=[*learned.checked, *accuracy],
                settings=made_with.of_generation(),
                held_out=held_out,
                selection=selection,
            )
            made.write({self.keyspace.model_report(generation): msgspec.json.encode(report)})
        user_model = "none" if models.users is None else models.users.name
        tell_held_out(variant, held_out)
        placing.place(made, variant, models.items.name, user_model, made_with.fold_in)
        return report

    def _chosen_by(
        self, learned: Learned, settings: TrainerSettings, served: Report | None
    ) -> tuple[Selection | None, Found]:
        """Return what `auto` chooses, now or some time ago, and how well it foresees."""
        from trainer.tuning.auto import find, is_wanted  # takes a second

        def look(of: TrainerSettings) -> Found:
            return find(learned.histories, learned.stored, learned.gram.counts, of, self.stages)

        with self.stages.timed("hold out"):
            if not is_wanted(settings):
                return None, look(settings)
            remembered = self._remembered(learned, settings, served)
            if remembered is not None:
                return remembered, look(changed(settings, remembered.found.values))
            found = look(settings)
            selection = Selection(
                found=found,
                at=self.now().isoformat(),
                items=len(learned.gram.items),
                events=events_folded(learned.inputs),
                users=len(learned.user_items.users),
            )
            return selection, found

    def _remembered(
        self, learned: Learned, settings: TrainerSettings, served: Report | None
    ) -> Selection | None:
        """Return what was chosen when the served generation was made, if it still holds."""
        selection = served.selection if served else None
        if served is None or selection is None or selection.found.ndcg is None:
            return None
        if served.asked != settings.of_generation():
            return None
        now = (
            len(learned.gram.items),
            events_folded(learned.inputs),
            len(learned.user_items.users),
        )
        then = (selection.items, selection.events, selection.users)
        most = settings.auto.data_changed
        close = all(abs(a - b) <= most * b for a, b in zip(now, then, strict=True))
        return selection if close else None

    def _counts(self, learned: Learned, settings: TrainerSettings) -> Any:
        if settings.counts.is_streamed:
            return learned.gram.counts
        with self.stages.timed("count histories"):
            derived = gram_of(learned.histories, settings.counts)
            return completed(derived, learned.gram.counts)

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
        gram, user_items = learned.gram, learned.user_items
        return Report(
            generation=generation,
            fence=self.fence,
            started=learned.started.isoformat(),
            finished=self.now().isoformat(),
            inputs=learned.inputs,
            data=data_of(gram, user_items),
            lists=lists,
            seconds={stage: round(s, 6) for stage, s in (learned.seconds | own).items()},
            variant=variant,
            corrupt=[*gram.corrupt, *user_items.corrupt],
            n_corrupt=gram.n_corrupt + user_items.n_corrupt,
        )


def users_needed(settings: TrainerSettings) -> int:
    """Return of how many users histories are read."""
    needed = max(users_listed(settings), settings.auto.sample_users)
    counted = settings.item_model == AUTO or not settings.counts.is_streamed
    return max(needed, settings.counts.users) if counted else needed


def users_listed(settings: TrainerSettings) -> int:
    """Return how many users, latest active first, may get a list of their own."""
    return 0 if settings.user_model == "none" else settings.active_users


def models_of(settings: TrainerSettings) -> Models:
    """Return the models of a variant, of which `auto` is none any more."""
    own_lists = settings.user_model != "none" and settings.active_users
    return Models(
        items=settings.model(settings.item_model),
        users=settings.model("user-knn") if own_lists else None,
        popular=settings.model("popular"),
    )


def held_out_of(found: Found) -> HeldOut | None:
    """Return how well the settings that were chosen foresee; None if that could not be measured."""
    if found.ndcg is None or found.low is None or found.high is None:
        return None
    of_it = [tried for tried in found.tried if tried.ndcg == found.ndcg]
    chosen = next((tried for tried in of_it if tried.values == found.values), of_it[0])
    return HeldOut(
        found.users, found.ndcg, found.low, found.high, chosen.coverage, chosen.personalization
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
