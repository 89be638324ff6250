"""What was checked is counted for each variant."""

from tests.trainer.setup import broken_rules
from trainer.quality.checking import Checked, Level
from trainer.quality.reporting import report_rules


def rule(level: Level, *, holds: bool) -> Checked:
    return Checked("ndcg_kept", level, holds, 0.5, 0.8, "nDCG of the hold-out")


def test_broken_rules_are_counted_for_the_variant_that_breaks_them() -> None:
    report_rules([rule("soft", holds=False)], [rule("soft", holds=False)], "short")
    report_rules([rule("soft", holds=True)])
    assert (broken_rules("soft", "short"), broken_rules("hard", "short")) == (2, 0)
    assert (broken_rules("soft"), broken_rules("hard")) == (0, 0)
