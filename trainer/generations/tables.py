"""Tables of what is served and what was decided."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table

from contracts.generations import (
    CANARY_VARIANT,
    DEFAULT_VARIANT,
    Canary,
    Current,
    Decision,
    Experiment,
    Served,
)
from contracts.pointer import shares

MADE: Final = ("published", "on trial")
"""Decisions that come with what is predicted of a generation."""


def tables(current: Current | None, decisions: Sequence[Decision]) -> RenderableType:
    """Return what is served, and the decisions, newest first, if there are any."""
    if current is None:
        return "nothing was ever served: `python -m trainer once` trains and publishes"
    parts: list[RenderableType] = [_served(current)]
    if decisions:
        parts.append(_decided(decisions))
        measured = [decision for decision in decisions if decision.what in MADE]
        if any(decision.figures for decision in measured):
            parts.append(_judged(measured))
    if current.held:
        parts.append(
            "Held: a person rolled back. `python -m trainer once` trains and publishes again."
        )
    return Group(*parts)


def _judged(decisions: Sequence[Decision]) -> Table:
    """Return what is predicted of each generation."""
    table = Table(title="nDCG@10 on users' latest items, 95 % interval", title_justify="left")
    for column in ("generation", "variant", "predicted", "users"):
        table.add_column(column, no_wrap=True)
    for decision in decisions:
        of, predicted, users = decision.figures, "", ""
        if "ndcg" in of:
            predicted = f"{of['ndcg']:.4f} ({of['ndcg_low']:.4f} .. {of['ndcg_high']:.4f})"
            users = f"{of['holdout_users']:.0f}"
        table.add_row(decision.generation, decision.variant, predicted, users)
    return table


def _served(current: Current) -> Table:
    experiment, canary = current.experiment, current.canary
    title = "Served"
    if experiment:
        title += f", experiment {experiment.name}{_period(experiment)}"
    if canary:
        title += f", canary{_period(canary)}"
    table = Table(title=title, title_justify="left")
    for column in ("variant", "generation", "item model", "user model"):
        table.add_column(column, no_wrap=True)
    table.add_column("users", justify="right", no_wrap=True)
    of_all = shares(current)
    default_first = sorted(current.variants.items(), key=lambda item: item[0] != DEFAULT_VARIANT)
    for name, served in default_first:
        _add(table, name, served, f"{of_all[name]:.1%}")
    if current.canary:
        _add(table, CANARY_VARIANT, current.canary.served, f"{of_all[CANARY_VARIANT]:.1%}")
    for served in current.previous:
        _add(table, "(kept)", served, "")
    return table


def _period(of: Experiment | Canary) -> str:
    since, until = (datetime.fromtimestamp(ms / 1000, UTC) for ms in (of.since_ms, of.until_ms))
    return f" ({since:%Y-%m-%d %H:%M} .. {until:%Y-%m-%d %H:%M} UTC)"


def _add(table: Table, name: str, served: Served, users: str) -> None:
    table.add_row(name, served.generation, served.model, served.user_model, users)


def _decided(decisions: Sequence[Decision]) -> Table:
    table = Table(title="Decisions, newest first", title_justify="left")
    for column in ("at (UTC)", "generation", "variant", "decision", "by"):
        table.add_column(column, no_wrap=True)
    table.add_column("why")
    for decision in decisions:
        table.add_row(
            decision.at[:19].replace("T", " "),
            decision.generation,
            decision.variant,
            decision.what,
            decision.by,
            decision.why,
        )
    return table
