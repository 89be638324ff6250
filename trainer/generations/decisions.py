"""Decisions on generations: kept in Redis for operators, in the log, and in the reports."""

import msgspec
import structlog

from contracts.decisions import Decision
from contracts.keyspace import DECISIONS_KEPT, Keyspace
from runtime.redis.stores import Store
from trainer import telemetry
from trainer.generations.report import Report

_decision = msgspec.json.Decoder(Decision)
_report = msgspec.json.Decoder(Report)
log = structlog.get_logger(__name__)


def note(store: Store, keyspace: Keyspace, decision: Decision) -> None:
    """Log a decision, and put it into the list of them and into the generation's report.

    It is already in effect: `model:current` decides, not this list. If a process is killed just
    before, the decision is not recorded.
    """
    log.info("decided", **msgspec.to_builtins(decision))
    telemetry.DECISIONS.labels(decision.what).inc()
    decisions = keyspace.model_decisions()
    store.lpush(decisions, msgspec.json.encode(decision))
    store.ltrim(decisions, 0, DECISIONS_KEPT - 1)
    key = keyspace.model_report(decision.generation)
    if (report := read_report(store, keyspace, decision.generation)) is not None:
        noted = msgspec.structs.replace(report, decisions=[*report.decisions, decision])
        # Its expiry, if any, stays; and if it has expired, it must not come back.
        store.set(key, msgspec.json.encode(noted), xx=True, keepttl=True)


def read_decisions(store: Store, keyspace: Keyspace, n: int = DECISIONS_KEPT) -> list[Decision]:
    """Return the last n decisions, newest first."""
    stored = store.lrange(keyspace.model_decisions(), 0, n - 1)
    return [_decision.decode(value) for value in stored]


def read_report(store: Store, keyspace: Keyspace, generation: str) -> Report | None:
    """Return a generation's report, None if it is gone, damaged or of another trainer's version."""
    try:
        stored = store.get(keyspace.model_report(generation))
        return _report.decode(stored) if stored else None
    except (UnicodeDecodeError, msgspec.DecodeError):
        return None
