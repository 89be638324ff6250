"""Rolls out a generation: to all of a variant's users at once, or to some of them first."""

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec

from contracts.generations import (
    BY_PERSON,
    BY_RULES,
    CANARY_VARIANT,
    DEFAULT_VARIANT,
    Canary,
    Decision,
    HeldOut,
    Served,
    What,
)
from contracts.keyspace import Keyspace
from contracts.times import MINUTE_MS
from runtime.redis.stores import Store
from trainer.generations.decisions import note
from trainer.generations.gate import Serve, Try
from trainer.generations.publication import Publication, read_current


class Refusal(msgspec.Struct, frozen=True):
    """That a variant's generations are refused: an entry of `model:refused`."""

    since: Annotated[datetime, msgspec.Meta(tz=True)]
    rule: str
    """of those that are broken, the first"""


_refusal: Final = msgspec.json.Decoder(Refusal)


@dataclass(frozen=True, slots=True)
class Placing:
    """How a run's generations reach the users."""

    store: Store
    keyspace: Keyspace
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
        ruling: Serve | Try,
    ) -> None:
        """Serve a generation whose keys are all written, to all users or, to try it, to some.

        Raises:
            SupersededError, HeldError: as `Publication.serve` does.
        """
        current = read_current(self.store, self.keyspace)
        there = current.variants.keys() if current else frozenset[str]()
        if others := there - {DEFAULT_VARIANT} - set(self.variants):
            made.withdraw_others(frozenset(self.variants))
        # Before it is published: if this were lost later, an old refusal would let a bad one pass.
        self.store.hdel(self.keyspace.model_refused(), variant, *others)
        if isinstance(ruling, Try):
            self._try_out(made, served, figures, ruling)
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
        ruling: Try,
    ) -> None:
        since_ms = round(self.now().timestamp() * 1000)
        until_ms = since_ms + round(ruling.minutes * MINUTE_MS)
        canary = Canary(served, ruling.share, since_ms, until_ms)
        made.try_out(canary, release=self.by_person)
        why = f"for {ruling.minutes:g} minutes, with {ruling.share:.1%} of the users"
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


def figures_of(held_out: HeldOut | None) -> dict[str, float]:
    """Return a decision's figures: the report has more, but is kept less long.

    >>> figures_of(HeldOut(20, 0.3, 0.2, 0.4, coverage=0.8, personalization=0.9))["ndcg_low"]
    0.2
    """
    if held_out is None:
        return {}
    return {
        "holdout_users": held_out.users,
        "ndcg": held_out.ndcg,
        "ndcg_low": held_out.low,
        "ndcg_high": held_out.high,
        "coverage": held_out.coverage,
        "personalization": held_out.personalization,
    }
