"""Lets readers have a generation: all of a variant's users at once, or some of them first."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime

from contracts.fold_in import FoldIn
from contracts.keyspace import CANARY_VARIANT, DEFAULT_VARIANT, Keyspace
from runtime.stores import Store
from trainer.experiments.rules import CanaryRules
from trainer.generations.decisions import note, read_decisions
from trainer.generations.publication import Publication, read_current
from trainer.generations.report import By, Decision, What


@dataclass(frozen=True, slots=True)
class Placing:
    """How a run's generations reach the users."""

    store: Store
    keyspace: Keyspace
    rules: CanaryRules | None
    """None: whatever is new is served at once"""
    keep: int
    """earlier generations that can be rolled back to"""
    by_person: bool
    """a person asked for the run, so it may publish though one had rolled back"""
    variants: Collection[str]
    """that are made beside the default one; others are served no more"""
    now: Callable[[], datetime]

    def place(
        self, made: Publication, variant: str, model: str, user_model: str, fold_in: FoldIn
    ) -> None:
        """Serve a generation whose keys are all written.

        The first one of the default variant is served to all: nobody has anything to lose.

        Raises:
            SupersededError, HeldError: as `Publication.serve` does.
        """
        current = read_current(self.store, self.keyspace)
        there = current.variants.keys() if current else frozenset[str]()
        if there - {DEFAULT_VARIANT} - set(self.variants):
            made.withdraw_others(frozenset(self.variants))
        if variant == DEFAULT_VARIANT and variant in there and self.rules is not None:
            self._try_out(made, model, user_model, fold_in, self.rules)
            return
        made.serve(
            model,
            user_model,
            fold_in=fold_in,
            variant=variant,
            keep=self.keep,
            release=self.by_person,
        )
        why = "to all of the variant's users at once"
        self._note(made.generation, variant, "published", why, by=self._by())

    def latest(self, variant: str) -> Decision | None:
        """Return what was decided last on a variant, if that was not too many decisions ago.

        What is tried out is the default variant's.
        """
        decisions = read_decisions(self.store, self.keyspace)
        its_own = {variant} | ({CANARY_VARIANT} if variant == DEFAULT_VARIANT else set())
        return next((decision for decision in decisions if decision.variant in its_own), None)

    def rejected(self, generation: str, variant: str, why: str) -> None:
        """Note that nothing is made of the data; of several times in a row, the first.

        Each rule that is broken first is noted: how long one has been counts.
        """
        latest, rule = self.latest(variant), why.partition(":")[0]
        if latest is None or latest.what != "rejected" or latest.why.partition(":")[0] != rule:
            self._note(generation, variant, "rejected", why, by="rules")

    def _try_out(
        self,
        made: Publication,
        model: str,
        user_model: str,
        fold_in: FoldIn,
        rules: CanaryRules,
    ) -> None:
        since_ms = round(self.now().timestamp() * 1000)
        made.try_out(
            model,
            user_model,
            fold_in=fold_in,
            share=rules.share,
            since_ms=since_ms,
            release=self.by_person,
        )
        why = f"for {rules.minutes:g} minutes at least, with {rules.share:.1%} of the users"
        self._note(made.generation, CANARY_VARIANT, "on trial", why, by=self._by())

    def _by(self) -> By:
        return "person" if self.by_person else "rules"

    def _note(self, generation: str, variant: str, what: What, why: str, *, by: By) -> None:
        decision = Decision(
            at=self.now().isoformat(),
            generation=generation,
            variant=variant,
            what=what,
            why=why,
            by=by,
        )
        note(self.store, self.keyspace, decision)
