"""Every metric of the trainer."""

from typing import Final

from prometheus_client import Counter, Gauge

RUNS: Final = Counter(
    "trainer_runs",
    "Runs by how they ended: trained; unchanged, empty or locked, which are skipped; stopped; "
    "failed.",
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
