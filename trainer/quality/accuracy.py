"""Whether a generation predicts about as well as the served one. Pure."""

from datetime import datetime, timedelta
from typing import Annotated, Final

import msgspec

from trainer.judging.found import HeldOut
from trainer.quality.checking import Checked

RULE: Final = "ndcg_kept"
MEANING: Final = "nDCG of the hold-out, for one of the served generation; at least the limit"
KEPT_MIN: Final = 0.8
"""nDCG of the hold-out, relative to the served generation's, below which a generation is refused,
if the difference is beyond chance. `python -m trainer once` publishes anyway."""
KEPT_AGAIN: Final = 0.9
"""The same after a refusal, so that what is near the limit does not alternate."""
REFUSED_AT_MOST: Final = timedelta(hours=6)
"""After which a generation passes: then it is the users who have changed."""


class Refusal(msgspec.Struct, frozen=True):
    """That a variant's generations are refused: an entry of `model:refused`."""

    since: Annotated[datetime, msgspec.Meta(tz=True)]
    rule: str
    """of those that are broken, the first"""


def check_accuracy(
    now: HeldOut | None,
    before: HeldOut | None,
    refused: Refusal | None,
    at: datetime,
) -> list[Checked]:
    """Return the rule on accuracy, and whether it holds; nothing if it cannot be said.

    After a refusal the limit is higher, so a generation near the
    limit does not alternate between passing and being refused. What is refused for long passes.

    Args:
        now: how well the new generation predicts.
        before: how well the served one does; None if it is unknown, or nothing is served.
        refused: since when and why its variant is refused, None if it is not.
        at: the time.
    """
    if now is None or before is None or not before.ndcg:
        return []
    since = refused.since if refused and refused.rule == RULE else None
    limit = KEPT_AGAIN if since else KEPT_MIN
    kept = now.ndcg / before.ndcg
    by_chance = now.high >= before.low
    long = since is not None and at - since >= REFUSED_AT_MOST
    return [Checked(RULE, "hard", kept >= limit or by_chance or long, kept, limit, MEANING)]
