"""What was checked is counted for each variant."""

from prometheus_client import REGISTRY

from contracts.generations import DEFAULT_VARIANT
from trainer.quality.checking import Checked, Level
from trainer.quality.gate import report_rules


def rule(level: Level, *, holds: bool) -> Checked:
    return Checked("ndcg_kept", level, holds, 0.5, 0.8, "nDCG of the hold-out")


def broken(variant: str, level: Level) -> float | None:
    return REGISTRY.get_sample_value("trainer_broken_rules", {"variant": variant, "level": level})


def test_broken_rules_are_counted_for_the_variant_that_breaks_them() -> None:
    report_rules([rule("soft", holds=False)], [rule("soft", holds=False)], "short")
    report_rules([rule("soft", holds=True)])
    assert (broken("short", "soft"), broken("short", "hard")) == (2, 0)
    assert (broken(DEFAULT_VARIANT, "soft"), broken(DEFAULT_VARIANT, "hard")) == (0, 0)
