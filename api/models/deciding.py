"""Decisions of a person on what is served, over HTTP: as `python -m trainer promote` and the like.

Each is one change of `model:current`, compared with what was read. A generation that is named there
no more is given its end by the trainer's next run: that takes a command for each of its keys.

Processes go by what they read of `model:current` for some milliseconds. A decision returns after
these, so whoever asks then gets what was decided, of whichever process.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import msgspec

from api.http.problems import CONFLICT, Problem
from api.models.generations import SEEN_BY_ALL_S
from api.models.reports import with_decision
from api.redis.reading import Read
from api.redis.store import Store, StoreUnavailableError
from contracts.decisions import Decision
from contracts.generations import CANARY_VARIANT, DEFAULT_VARIANT, Current, Experiment
from contracts.keyspace import DECISIONS_KEPT
from contracts.pointer import REPLACE_SCRIPT, UndecidableError, promoted, rolled_back, weighted

CHANGED_MEANWHILE: Final = (
    "What is served was changed meanwhile, so nothing was done: look at it, and decide again"
)
_NOTHING: Final = Current(0, {})

_current: Final = msgspec.json.Decoder(Current)
_log = logging.getLogger(__name__)


class Deciding:
    """Changes what one namespace serves."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._keys = store.keys

    async def promote(self, by: str, why: str) -> tuple[Decision, Current]:
        """Let all users of the default variant have the canary; return the decision and what is.

        What it replaces is kept to be rolled back to, also where the trainer keeps none: its next
        run keeps as many as it is told to.

        Raises:
            Problem: no canary is on trial, or what is served was changed meanwhile.
        """
        _, after = await self._change(lambda current: promoted(current, _kept(current)))
        generation = after.variants[DEFAULT_VARIANT].generation
        decision = Decision(_now(), generation, CANARY_VARIANT, "promoted", why, by)
        await self._note(decision)
        await asyncio.sleep(SEEN_BY_ALL_S)
        return decision, after

    async def roll_back(self, by: str, why: str) -> tuple[Decision, Current]:
        """Take the canary away or, without one, go back to the generation before; then hold.

        Raises:
            Problem: there is neither, or what is served was changed meanwhile.
        """
        before, after = await self._change(rolled_back)
        canary = before.canary
        variant = CANARY_VARIANT if canary else DEFAULT_VARIANT
        gone = canary.served if canary else before.variants[DEFAULT_VARIANT]
        decision = Decision(_now(), gone.generation, variant, "rolled back", why, by)
        await self._note(decision)
        await asyncio.sleep(SEEN_BY_ALL_S)
        return decision, after

    async def weigh(self, by: str, experiment: Experiment | None) -> Current:
        """Spread the users over the variants as an experiment says; None ends it.

        Raises:
            Problem: what is served was changed meanwhile.
        """
        _, after = await self._change(lambda current: weighted(current, experiment))
        _log.info("%s spreads users by %s", by, experiment)
        await asyncio.sleep(SEEN_BY_ALL_S)
        return after

    async def _change(self, change: Callable[[Current], Current]) -> tuple[Current, Current]:
        try:
            return await self._store.answer(self._changed(change))
        except UndecidableError as error:
            raise Problem(CONFLICT, str(error)) from error

    def _changed(self, change: Callable[[Current], Current]) -> Read[tuple[Current, Current]]:
        key = self._keys.model_current()
        (value,) = yield [("GET", key)]
        before = _NOTHING if value is None else _current.decode(value)
        after = change(before)
        new = msgspec.json.encode(after)
        (done,) = yield [("EVAL", REPLACE_SCRIPT, 1, key, value or b"", new)]
        if not done:
            raise Problem(CONFLICT, CHANGED_MEANWHILE)
        return before, after

    async def _note(self, decision: Decision) -> None:
        """Put a decision, which holds already, where the trainer puts its own."""
        _log.info("decided: %s", decision)
        try:
            await self._store.answer(self._noted(decision))
        except StoreUnavailableError as error:
            _log.warning("it holds, but is not among the decisions in Redis: %s", error)

    def _noted(self, decision: Decision) -> Read[None]:
        decisions, report = (
            self._keys.model_decisions(),
            self._keys.model_report(decision.generation),
        )
        *_, value = yield [
            ("LPUSH", decisions, msgspec.json.encode(decision)),
            ("LTRIM", decisions, 0, DECISIONS_KEPT - 1),
            ("GET", report),
        ]
        if (noted := with_decision(value, decision)) is not None:
            # Its end, if it has one, stays; and if it is over by now, it must not come back.
            yield [("SET", report, noted, "XX", "KEEPTTL")]


def _kept(current: Current) -> int:
    return max(1, len(current.previous))


def _now() -> str:
    return datetime.now(UTC).isoformat()
