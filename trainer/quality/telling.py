"""Tells what was found: soft rules that are broken as warnings, hard ones as the end of the run."""

from collections.abc import Sequence
from typing import get_args

import msgspec
import structlog

from trainer import telemetry
from trainer.generations.report import Checked, Level
from trainer.quality.gate import pass_or_raise

log = structlog.get_logger(__name__)


def tell(checked: Sequence[Checked]) -> None:
    """Count and log the rules that are broken.

    Raises:
        BadDataError: a hard one is.
    """
    for level in get_args(Level):
        broken = sum(rule.level == level and not rule.holds for rule in checked)
        telemetry.BROKEN_RULES.labels(level).set(broken)
    for rule in pass_or_raise(checked):
        log.warning("the data breaks a rule", **msgspec.to_builtins(rule))
