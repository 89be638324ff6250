"""Reports what was found: broken soft rules as warnings, hard ones by ending the run."""

from collections.abc import Sequence
from typing import get_args

import msgspec
import structlog

from contracts.generations import DEFAULT_VARIANT
from trainer import telemetry
from trainer.generations.report import Checked, HeldOut, Level
from trainer.quality.gate import pass_or_raise

log = structlog.get_logger(__name__)


def report_rules(
    checked: Sequence[Checked], reported: Sequence[Checked] = (), variant: str = DEFAULT_VARIANT
) -> None:
    """Count and log the rules that are broken.

    Args:
        checked: rules.
        reported: others of the same run, which are counted with these and not logged again.
        variant: whose data or generation was checked.

    Raises:
        BadDataError: a hard one is.
    """
    for level in get_args(Level):
        broken = sum(rule.level == level and not rule.holds for rule in (*reported, *checked))
        telemetry.BROKEN_RULES.labels(variant, level).set(broken)
    for rule in pass_or_raise(checked):
        log.warning("the data breaks a rule", **msgspec.to_builtins(rule))


def report_corrupt(problems: Sequence[str], n: int) -> None:
    """Count and log the values that were left out because they are corrupt."""
    telemetry.CORRUPT_VALUES.set(n)
    for problem in problems:
        log.warning("left out: repair or delete that key", problem=problem, of=n)


def report_held_out(variant: str, held_out: HeldOut | None) -> None:
    """Show how well a variant's new generation predicts what users did last."""
    if held_out is not None:
        for measure in ("ndcg", "coverage", "personalization"):
            telemetry.HELD_OUT.labels(variant, measure).set(getattr(held_out, measure))
