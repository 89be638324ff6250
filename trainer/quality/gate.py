"""Whether a model may be trained on checked data. Pure."""

from collections.abc import Sequence

from trainer.generations.report import Checked


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


def _described(rule: Checked) -> str:
    items = f", such as items {', '.join(map(str, rule.items))}" if rule.items else ""
    return f"{rule.rule}: {rule.meaning} is {rule.value:.3g}, the limit is {rule.limit:.3g}{items}"
