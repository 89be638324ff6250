"""Reports what was checked: broken soft rules are warnings, hard ones end the run."""

from collections.abc import Sequence
from typing import get_args

import msgspec
import structlog

from contracts.generations import DEFAULT_VARIANT, HeldOut
from trainer import telemetry
from trainer.quality.checking import Checked, Level

log = structlog.get_logger(__name__)


class BadDataError(RuntimeError):
    """A hard rule is broken."""

    def __init__(self, checked: Sequence[Checked]) -> None:
        self.broken = [rule for rule in checked if rule.level == "hard" and not rule.holds]
        super().__init__(
            "; ".join(map(_described, self.broken))
            + ". Nothing is published, what is served stays. Look for workers far behind "
            "(`lag_records`), for lost keys and for settings that were changed, or raise the limit "
            "(QUALITY_...); `python -m trainer once` ignores drops in accuracy"
        )


def pass_or_raise(checked: Sequence[Checked]) -> list[Checked]:
    """Return the soft rules that are broken.

    Raises:
        BadDataError: a hard one is.
    """
    broken = [rule for rule in checked if not rule.holds]
    if any(rule.level == "hard" for rule in broken):
        raise BadDataError(checked)
    return broken


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


def _described(rule: Checked) -> str:
    items = f", such as items {', '.join(map(str, rule.items))}" if rule.items else ""
    return f"{rule.rule}: {rule.meaning} is {rule.value:.3g}, the limit is {rule.limit:.3g}{items}"
