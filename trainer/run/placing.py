"""Rolls out a generation: to all of a variant's users at once, or to some of them first."""

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec

from contracts.decisions import BY_PERSON, BY_RULES, Decision, What
from contracts.figures import Happened, HeldOut
from contracts.generations import CANARY_VARIANT, DEFAULT_VARIANT, Canary, Served
from contracts.keyspace import Keyspace
from runtime.redis.stores import Store
from trainer.experiments.rules import CanaryRules
from trainer.generations.decisions import note
from trainer.generations.publication import Publication, read_current
from trainer.quality.accuracy import Refusal

_refusal: Final = msgspec.json.Decoder(Refusal)


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
    """an operator asked for the run, so it may publish despite a rollback"""
    variants: Collection[str]
    """that are made in addition to the default one; others are no longer served"""
    now: Callable[[], datetime]

    def place(
        self,
        made: Publication,
        variant: str,
        served: Served,
        figures: dict[str, float],
    ) -> None:
        """Serve a generation whose keys are all written.

        The first one of the default variant is served to all: nobody has anything to lose.

        Raises:
            SupersededError, HeldError: as `Publication.serve` does.
        """
        current = read_current(self.store, self.keyspace)
        there = current.variants.keys() if current else frozenset[str]()
        if others := there - {DEFAULT_VARIANT} - set(self.variants):
            made.withdraw_others(frozenset(self.variants))
        # Before it is published: if this were lost later, an old refusal would let a bad one pass.
        self.store.hdel(self.keyspace.model_refused(), variant, *others)
        if variant == DEFAULT_VARIANT and variant in there and self.rules is not None:
            self._try_out(made, served, figures, self.rules)
            return
        made.serve(served, variant=variant, keep=self.keep, release=self.by_person)
        why = "to all of the variant's users at once"
        self._note(made.generation, variant, "published", why, by=self._by(), figures=figures)

    def latest(self, variant: str) -> Refusal | None:
        """Return since when and why a variant's generations are refused, None if they are not.

        The list of decisions does not do: those on other variants may have pushed it out.
        """
        with suppress(UnicodeDecodeError, msgspec.DecodeError):
            stored: Any = self.store.hget(self.keyspace.model_refused(), variant)
            return _refusal.decode(stored) if stored else None
        return None

    def rejected(self, generation: str, variant: str, why: str) -> None:
        """Note that nothing is made of the data; of several times in a row, the first.

        Each rule that is broken first is noted: how long one has been counts.
        """
        refused, rule = self.latest(variant), why.partition(":")[0]
        if refused is None or refused.rule != rule:
            self._note(generation, variant, "rejected", why, by=BY_RULES)
            since = msgspec.json.encode(Refusal(self.now(), rule))
            self.store.hset(self.keyspace.model_refused(), variant, since)

    def _try_out(
        self,
        made: Publication,
        served: Served,
        figures: dict[str, float],
        rules: CanaryRules,
    ) -> None:
        since_ms = round(self.now().timestamp() * 1000)
        made.try_out(Canary(served, rules.share, since_ms), release=self.by_person)
        why = f"for {rules.minutes:g} minutes at least, with {rules.share:.1%} of the users"
        by, what = self._by(), CANARY_VARIANT
        self._note(made.generation, what, "on trial", why, by=by, figures=figures)

    def _by(self) -> str:
        return BY_PERSON if self.by_person else BY_RULES

    def _note(
        self,
        generation: str,
        variant: str,
        what: What,
        why: str,
        *,
        by: str,
        figures: dict[str, float] | None = None,
    ) -> None:
        decision = Decision(
            at=self.now().isoformat(),
            generation=generation,
            variant=variant,
            what=what,
            why=why,
            by=by,
            figures=figures or {},
        )
        note(self.store, self.keyspace, decision)


def figures_of(held_out: HeldOut | None, happened: Happened | None) -> dict[str, float]:
    """Return a decision's figures: the report has more, but is kept less long.

    Args:
        held_out: what is predicted of the generation.
        happened: what was served until then.

    >>> held_out = HeldOut(20, 0.3, 0.2, 0.4, coverage=0.8, personalization=0.9)
    >>> figures_of(held_out, happened=None)["ndcg_low"]
    0.2
    """
    figures: dict[str, float] = {}
    if held_out is not None:
        figures = {
            "holdout_users": held_out.users,
            "ndcg": held_out.ndcg,
            "ndcg_low": held_out.low,
            "ndcg_high": held_out.high,
            "coverage": held_out.coverage,
            "personalization": held_out.personalization,
        }
    if happened is not None:
        figures |= {
            "served_users": happened.users,
            "served_ndcg": happened.ndcg.mean,
            "served_ndcg_error": happened.ndcg.error,
            "popular_ndcg": happened.popular.mean,
            "lead": happened.lead.mean,
            "lead_error": happened.lead.error,
        }
        if happened.predicted is not None:
            figures["served_predicted"] = happened.predicted
    return figures
