"""Whether a generation's settings predict about as well as the served ones. Pure.

Both learn from the same data and are asked for the same users' items, so neither the data nor the
kind of hold-out makes a difference between them, nor what was measured at another time.
"""

from datetime import datetime
from typing import Annotated, Final

import msgspec

from contracts.figures import HeldOut
from trainer.quality.checking import Checked

RULE: Final = "ndcg_kept"
MEANING: Final = (
    "nDCG of the hold-out at the upper end of its 95 % interval, for one of the served settings on "
    "the same users; at least the limit"
)
KEPT_MIN: Final = 0.95
"""A generation that surely predicts worse than this is refused. `python -m trainer once` publishes
anyway; `auto` may give up less for coverage."""


class Refusal(msgspec.Struct, frozen=True):
    """That a variant's generations are refused: an entry of `model:refused`."""

    since: Annotated[datetime, msgspec.Meta(tz=True)]
    rule: str
    """of those that are broken, the first"""


def check_accuracy(held_out: HeldOut | None) -> list[Checked]:
    """Return the rule on accuracy, and whether it holds; nothing if there is nothing to compare."""
    if held_out is None or held_out.lead is None:
        return []
    kept = held_out.lead.kept_at_best
    return [Checked(RULE, "hard", kept >= KEPT_MIN, kept, KEPT_MIN, MEANING)]
