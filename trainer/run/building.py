"""Makes one generation of a run: chooses and judges settings, writes the lists, publishes them."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from contracts.generations import HeldOut, Served
from contracts.messages import Floats
from trainer.counts.derived import counts_of, first_users
from trainer.counts.matrices import Matrix
from trainer.generations.decisions import served_report
from trainer.generations.gate import Gate, Reject
from trainer.generations.publication import generation_id, publication
from trainer.generations.report import Lists, Report, Selection
from trainer.generations.writing import Models, Writing
from trainer.judging.popularity import half_life_of
from trainer.models import USER_KNN
from trainer.models.popular import recent_counts
from trainer.quality.checking import check_accuracy
from trainer.quality.reporting import BadDataError, report_held_out, report_rules
from trainer.run.placing import Placing, figures_of
from trainer.run.searching import Job, Searches
from trainer.run.selecting import Learned, Selected, basis, data_of, select, served_values
from trainer.settings import TrainerSettings
from trainer.settings_file import changed
from trainer.stages import Stages


@dataclass(frozen=True, slots=True)
class Building:
    """What generations of a run are made with."""

    learned: Learned
    placing: Placing
    gate: Gate
    fence: int
    """the fencing token of the lock that the run holds"""
    stages: Stages
    searches: Searches

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
        store, keyspace = self.placing.store, self.placing.keyspace
        served = served_report(store, keyspace, variant)
        choice = self.searches.choice(variant, settings)
        with self.stages.timed("hold out"):
            selected = select(
                self.learned, settings, served, choice, self.stages, waits=self.searches.are_awaited
            )
        made_with = self._decided(selected)
        generation = generation_id(self.learned.started, self.fence, place)
        held_out = selected.found.held_out
        draft = self._draft(variant, generation, made_with, selected.selection, held_out)
        report_rules([], draft.quality, variant)
        ruling = self.gate.decide(draft)
        if isinstance(ruling, Reject):
            error = BadDataError(ruling.broken)
            self.placing.rejected(generation, variant, str(error))
            if choice:
                del self.searches.choices[variant]
            raise error
        models = models_of(made_with)
        with publication(store, keyspace, generation, self.fence) as made:
            writing = Writing(made, keyspace, self.stages)
            counts = self._counts(made_with)
            users = first_users(self.learned.user_items, users_listed(made_with))
            lists = writing.write(models, self.learned.gram, counts, self._recent(made_with), users)
            finished, seconds = self.placing.now().isoformat(), self._seconds(before)
            report = msgspec.structs.replace(draft, lists=lists, finished=finished, seconds=seconds)
            made.write({keyspace.model_report(generation): msgspec.json.encode(report)})
        report_held_out(variant, draft.held_out)
        made_of = served_of(generation, models, made_with)
        self.placing.place(made, variant, made_of, figures_of(draft.held_out), ruling)
        if choice:
            del self.searches.choices[variant]
        if selected.is_due and self.searches.under_way is None:
            now_served = served_values(settings, served_report(store, keyspace, variant))
            searched = self.learned.histories, self.learned.stored, self.learned.gram.counts
            self.searches.next = Job(searched, settings, now_served, variant, basis(self.learned))
        return report

    def _counts(self, settings: TrainerSettings) -> tuple[Matrix, Floats]:
        """Return what the item model is fitted to."""
        counting, learned = settings.counting(settings.item_model), self.learned
        with self.stages.timed("count histories"):
            return counts_of(learned.histories, learned.gram.counts, counting)

    def _decided(self, selected: Selected) -> TrainerSettings:
        """Return the settings with the popular list's half-life and the repeats, if none is set."""
        settings = selected.settings
        with self.stages.timed("choose half-life"):
            learned = self.learned
            days = half_life_of(settings.config("popular"), learned.histories, learned.stored)
        most = settings.repeats
        repeats = selected.found.repeats_most if most is None else most
        values = {"popular_half_life_days": days, "repeats": repeats}
        made: TrainerSettings = changed(settings, values)
        return made

    def _recent(self, settings: TrainerSettings) -> Matrix:
        """Return what the popular list is made from."""
        learned, days = self.learned, settings.config("popular").half_life_days
        return recent_counts(learned.histories, learned.stored, learned.gram.counts, days)

    def _draft(
        self,
        variant: str,
        generation: str,
        made_with: TrainerSettings,
        selection: Selection | None,
        held_out: HeldOut | None,
    ) -> Report:
        """Return the report as far as it is known before the lists are written."""
        learned = self.learned
        return Report(
            generation=generation,
            fence=self.fence,
            started=learned.started.isoformat(),
            finished="",
            inputs=learned.inputs,
            data=data_of(learned.gram, learned.user_items),
            lists=Lists(0, 0, 0, 0, 0),
            seconds={},
            variant=variant,
            quality=[*learned.checked, *check_accuracy(held_out)],
            settings=made_with.of_generation(),
            held_out=held_out,
            selection=selection,
            corrupt=learned.corrupt,
            n_corrupt=learned.n_corrupt,
        )

    def _seconds(self, before: Mapping[str, float]) -> dict[str, float]:
        """Return the time of each stage: of what was read for all, and since then of its own."""
        own = {
            stage: seconds - before.get(stage, 0)
            for stage, seconds in self.stages.seconds.items()
            if stage not in self.learned.seconds
        }
        return {stage: round(s, 6) for stage, s in (self.learned.seconds | own).items()}


def served_of(generation: str, models: Models, settings: TrainerSettings) -> Served:
    """Return a generation as readers see it."""
    return Served(
        generation,
        models.items.name,
        "none" if models.users is None else models.users.name,
        settings.fold_in,
        settings.diversity,
        settings.repeats or 0,
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
