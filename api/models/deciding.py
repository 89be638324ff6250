"""A person's decisions on what is served, over HTTP; the same as `python -m trainer promote` etc.

Each is a compare-and-set of `model:current`. A generation that it no longer names is expired by the
trainer's next run, which takes a command for each of its keys.

Processes cache `model:current` for some milliseconds. A decision returns after that, so later
requests are answered accordingly by every process.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import msgspec

from api.http.problems import CONFLICT, Problem
from api.models.bodies import Reason
from api.models.generations import SEEN_BY_ALL_S
from api.models.reports import with_decision
from api.redis.reading import Read
from api.redis.store import Store, StoreUnavailableError
from contracts.decisions import Decision
from contracts.generations import (
    CANARY_VARIANT,
    DEFAULT_VARIANT,
    Current,
    Experiment,
    decode_current,
)
from contracts.keyspace import DECISIONS_KEPT
from contracts.pointer import (
    REPLACE_SCRIPT,
    UndecidableError,
    about,
    promoted,
    rolled_back,
    weighted,
)

CHANGED_MEANWHILE: Final = (
    "What is served has changed in the meantime, so nothing was done: review it and decide again"
)
_NOTHING: Final = Current(0, {})

_log = logging.getLogger(__name__)


class Deciding:
    """Changes what one namespace serves."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._keys = store.keys

    async def promote(self, by: str, reason: Reason) -> tuple[Decision, Current]:
        """Promote the canary to all users of the default variant; return decision and new state.

        The replaced generation is kept for a rollback, even if the trainer keeps none: its next run
        keeps as many as are configured.

        Raises:
            Problem: no canary is on trial, or not the expected one, or what is served has changed
                in the meantime.
        """
        _, after = await self._change(
            lambda current: promoted(about(current, reason.expected), _kept(current))
        )
        generation = after.variants[DEFAULT_VARIANT].generation
        decision = Decision(_now(), generation, CANARY_VARIANT, "promoted", reason.why, by)
        await self._note(decision)
        await asyncio.sleep(SEEN_BY_ALL_S)
        return decision, after

    async def roll_back(self, by: str, reason: Reason) -> tuple[Decision, Current]:
        """Withdraw the canary or, without one, return to the previous generation; then hold.

        Raises:
            Problem: there is neither, or it is not the expected one, or what is served has changed
                in the meantime.
        """
        before, after = await self._change(
            lambda current: rolled_back(about(current, reason.expected))
        )
        canary = before.canary
        variant = CANARY_VARIANT if canary else DEFAULT_VARIANT
        gone = canary.served if canary else before.variants[DEFAULT_VARIANT]
        decision = Decision(_now(), gone.generation, variant, "rolled back", reason.why, by)
        await self._note(decision)
        await asyncio.sleep(SEEN_BY_ALL_S)
        return decision, after

    async def weigh(self, by: str, experiment: Experiment | None) -> Current:
        """Assign users to variants by an experiment; None ends the current one.

        Raises:
            Problem: what is served has changed in the meantime.
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
        before = decode_current(value) or _NOTHING
        after = change(before)
        new = msgspec.json.encode(after)
        (done,) = yield [("EVAL", REPLACE_SCRIPT, 1, key, value or b"", new)]
        if not done:
            raise Problem(CONFLICT, CHANGED_MEANWHILE)
        return before, after

    async def _note(self, decision: Decision) -> None:
        """Record a decision, which is already in effect, with those of the trainer."""
        _log.info("decided: %s", decision)
        try:
            await self._store.answer(self._noted(decision))
        except StoreUnavailableError as error:
            _log.warning("it is in effect, but could not be recorded in Redis: %s", error)

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
            # An expiry is kept; if it has expired by now, it must not come back.
            yield [("SET", report, noted, "XX", "KEEPTTL")]


def _kept(current: Current) -> int:
    return max(1, len(current.previous))


def _now() -> str:
    return datetime.now(UTC).isoformat()
