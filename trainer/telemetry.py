"""Every metric of the trainer."""

from typing import Final, get_args

from prometheus_client import Counter, Gauge

from contracts.generations import What

OUTCOMES: Final = (
    "trained",
    "unchanged",
    "empty",
    "locked",
    "held",
    "on trial",
    "resting",
    "rejected",
    "stopped",
    "failed",
)

RUNS: Final = Counter(
    "trainer_runs", f"Runs by how they ended: {', '.join(OUTCOMES)}.", ["outcome"]
)
DECISIONS: Final = Counter(
    "trainer_decisions",
    "What was decided on generations: published, on trial, promoted, withdrawn, rolled back, "
    "rejected; compared, at the end of an experiment.",
    ["what"],
)
SEARCHES: Final = Counter(
    "trainer_searches",
    "Searches of `auto` by how they ended: finished, failed.",
    ["outcome"],
)
STAGE_SECONDS: Final = Gauge(
    "trainer_stage_seconds", "Time that each stage of the last trained run took.", ["stage"]
)
ITEMS: Final = Gauge("trainer_items", "Items of the generation that was published last.")
USERS: Final = Gauge("trainer_users", "Users with a list in the generation published last.")
GENERATION_TIMESTAMP: Final = Gauge(
    "trainer_generation_timestamp_seconds", "When the last generation was published, epoch s."
)
BROKEN_RULES: Final = Gauge(
    "trainer_broken_rules",
    "Rules of `trainer.quality` that a variant's last data or generation broke.",
    ["variant", "level"],
)

CORRUPT_VALUES: Final = Gauge(
    "trainer_corrupt_values", "Keys that the last run left out, as they were not to be read."
)
HELD_OUT: Final = Gauge(
    "trainer_held_out",
    "How well the generation published last predicts what users did last: measures `ndcg`, "
    "`coverage`, `personalization` of lists of 10.",
    ["variant", "measure"],
)

# Exported as 0 from the start: Prometheus sees no increase in a series that begins with 1.
for outcome in OUTCOMES:
    RUNS.labels(outcome)
for outcome in ("finished", "failed"):
    SEARCHES.labels(outcome)
for what in get_args(What):
    DECISIONS.labels(what)
