"""Whether a generation foresees about as well as the one that is served. Pure."""

from datetime import datetime, timedelta
from typing import Final

from trainer.generations.report import Checked, Decision, HeldOut, Report
from trainer.quality.settings import QualityConfig

RULE: Final = "ndcg_kept"
MEANING: Final = "nDCG of the hold-out, for one of the served generation; at least the limit"


def check_accuracy(
    now: HeldOut | None,
    served: Report | None,
    settings: QualityConfig,
    latest: Decision | None,
    at: datetime,
) -> list[Checked]:
    """Return the rule on accuracy, and whether it holds; nothing if it cannot be said.

    What was refused must come back to a higher limit than what was not: so a generation near to the
    limit is not let through and refused by turns. What is refused for long is let through.

    Args:
        now: how well the generation in the making foresees.
        served: the report of the one that is served.
        settings: the limits.
        latest: what was decided last.
        at: the time.
    """
    before = served.held_out if served else None
    if now is None or before is None or not before.ndcg:
        return []
    refused = latest is not None and latest.what == "rejected" and RULE in latest.why
    limit = settings.ndcg_kept_again if refused else settings.ndcg_kept_min
    kept = now.ndcg / before.ndcg
    by_chance = now.high >= before.low
    patient_for = timedelta(hours=settings.ndcg_refused_hours)
    long = refused and latest is not None and at - datetime.fromisoformat(latest.at) >= patient_for
    return [Checked(RULE, "hard", kept >= limit or by_chance or long, kept, limit, MEANING)]
