"""Makes one generation of a run: chooses and judges settings, writes the lists, publishes them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from contracts.figures import Happened, HeldOut
from contracts.generations import Served
from contracts.keyspace import Keyspace
from runtime.redis.stores import Store
from runtime.topology import Topology
from trainer.counts.derived import counts_of, first_users
from trainer.counts.matrices import Matrix
from trainer.experiments.happening import read_happened
from trainer.generations.inputs import served_report
from trainer.generations.publication import generation_id, publication, read_current
from trainer.generations.report import Lists, Report, Selection
from trainer.generations.writing import Models, Writing
from trainer.judging.found import held_out_of
from trainer.judging.happened import together
from trainer.models import USER_KNN
from trainer.models.popular import recent_counts
from trainer.quality.accuracy import check_accuracy
from trainer.quality.checking import Checked
from trainer.quality.gate import BadDataError, report_happened, report_held_out, report_rules
from trainer.run.learned import Learned, data_of
from trainer.run.placing import Placing, figures_of
from trainer.run.selecting import select
from trainer.selection.popular import half_life_of
from trainer.settings import TrainerSettings
from trainer.settings_file import changed
from trainer.stages import Stages


@dataclass(frozen=True, slots=True)
class Building:
    """What generations of a run are made with."""

    store: Store
    keyspace: Keyspace
    learned: Learned
    placing: Placing
    fence: int
    """the fencing token of the lock that the run holds"""
    stages: Stages
    now: Callable[[], datetime]

    def publish(self, variant: str, settings: TrainerSettings, place: int) -> Report:
        """Make a variant's generation and publish it.

        Args:
            variant: its name.
            settings: its own.
            place: among the variants; the default one's is 0.

        Raises:
            BadDataError: it predicts worse than what is served; it is noted.
            SupersededError: another trainer took over.
            HeldError: an operator rolled back in the meantime.
        """
        before = self.stages.seconds.copy()
        served = served_report(self.store, self.keyspace, variant)
        with self.stages.timed("judge served"):
            happened = self._happened(served)
        with self.stages.timed("hold out"):
            selection, found = select(self.learned, settings, served, self.stages, self.now)
        made_with = changed(settings, selection.found.values) if selection else settings
        made_with = self._with_half_life(made_with)
        generation = generation_id(self.learned.started, self.fence, place)
        held_out = held_out_of(found)
        accuracy = self._accuracy(variant, generation, held_out)
        models = models_of(made_with)
        with publication(self.store, self.keyspace, generation, self.fence) as made:
            writing = Writing(made, self.keyspace, self.stages)
            counts = self._counts(made_with)
            users = first_users(self.learned.user_items, users_listed(made_with))
            lists = writing.write(models, self.learned.gram, counts, self._recent(made_with), users)
            report = msgspec.structs.replace(
                self._report(variant, generation, lists, before, made_with, selection),
                quality=[*self.learned.checked, *accuracy],
                held_out=held_out,
                happened=happened,
            )
            made.write({self.keyspace.model_report(generation): msgspec.json.encode(report)})
        report_held_out(variant, held_out)
        report_happened(variant, happened)
        figures = figures_of(held_out, happened)
        self.placing.place(made, variant, served_of(generation, models, made_with), figures)
        return report

    def _happened(self, served: Report | None) -> Happened | None:
        """Return how well what is served did, with what was served before if that is little."""
        current = read_current(self.store, self.keyspace)
        if served is None or current is None:
            return None
        noted: Any = self.store.hgetall(self.keyspace.topics())
        partitions = Topology.from_hash(noted).interactions
        now = read_happened(self.store, self.keyspace, partitions, current, served, self.stages)
        return together(served.happened, now)

    def _accuracy(self, variant: str, generation: str, held_out: HeldOut | None) -> list[Checked]:
        """Return what was checked of the accuracy; an operator's run ignores the result.

        Raises:
            BadDataError: it predicts worse than what is served; it is noted.
        """
        checked = check_accuracy(held_out)
        if not self.placing.by_person:
            try:
                report_rules(checked, self.learned.checked, variant)
            except BadDataError as error:
                self.placing.rejected(generation, variant, str(error))
                raise
        return checked

    def _counts(self, settings: TrainerSettings) -> Matrix:
        """Return what the item model is fitted to."""
        counting, streamed = settings.counting(settings.item_model), self.learned.gram.counts
        if counting.is_streamed:
            return streamed
        with self.stages.timed("count histories"):
            return counts_of(self.learned.histories, streamed, counting)

    def _with_half_life(self, settings: TrainerSettings) -> TrainerSettings:
        """Return the settings with the half-life of the popular list, if none is set."""
        with self.stages.timed("choose half-life"):
            learned = self.learned
            days = half_life_of(settings.config("popular"), learned.histories, learned.stored)
        made: TrainerSettings = changed(settings, {"popular_half_life_days": days})
        return made

    def _recent(self, settings: TrainerSettings) -> Matrix:
        """Return what the popular list is made from."""
        learned, days = self.learned, settings.config("popular").half_life_days
        return recent_counts(learned.histories, learned.stored, learned.gram.counts, days)

    def _report(
        self,
        variant: str,
        generation: str,
        lists: Lists,
        before: Mapping[str, float],
        made_with: TrainerSettings,
        selection: Selection | None,
    ) -> Report:
        learned = self.learned
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
            settings=made_with.of_generation(),
            selection=selection,
            corrupt=learned.corrupt,
            n_corrupt=learned.n_corrupt,
        )


def served_of(generation: str, models: Models, settings: TrainerSettings) -> Served:
    """Return a generation as readers see it."""
    return Served(
        generation,
        models.items.name,
        "none" if models.users is None else models.users.name,
        settings.fold_in,
        settings.diversity,
    )


def users_listed(settings: TrainerSettings) -> int:
    """Return how many users, latest active first, may get a list of their own."""
    return 0 if settings.user_model == "none" else settings.active_users


def models_of(settings: TrainerSettings) -> Models:
    """Return the models of a variant, with `auto` resolved."""
    own_lists = settings.user_model != "none" and settings.active_users
    return Models(
        items=settings.model(settings.item_model),
        users=settings.model(USER_KNN) if own_lists else None,
        popular=settings.model("popular"),
    )
