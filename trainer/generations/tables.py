"""Tables of what is served and what was decided."""

from collections.abc import Mapping, Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table

from contracts.decisions import Decision
from contracts.generations import CANARY_VARIANT, DEFAULT_VARIANT, Current, Served
from contracts.variants import shares
from trainer.judging.happened import USERS_LEAST

MADE: Final = ("published", "on trial")
"""Decisions that come with what is predicted of a generation, and what happened before it."""


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
    """Return what was predicted of each generation, and what happened to the one before it."""
    table = Table(title="nDCG@10, 95 % interval (users)", title_justify="left")
    for column in ("generation", "variant", "predicted", "served before: predicted", "happened"):
        table.add_column(column, no_wrap=True)
    table.add_column("popular list, same users", no_wrap=True)
    for decision in decisions:
        table.add_row(decision.generation, decision.variant, *_cells(decision.figures))
    return table


def _cells(figures: Mapping[str, float]) -> tuple[str, str, str, str]:
    """Return predicted, predicted of what was served before, happened to it, and the control."""
    predicted = before = happened = popular = ""
    if "ndcg" in figures:
        error = (figures["ndcg_high"] - figures["ndcg_low"]) / 2
        predicted = f"{figures['ndcg']:.4f} ± {error:.4f} ({figures['holdout_users']:.0f})"
    if "served_predicted" in figures:
        before = f"{figures['served_predicted']:.4f}"
    if figures.get("served_users", 0) >= USERS_LEAST:
        error = figures["served_ndcg_error"]
        happened = f"{figures['served_ndcg']:.4f} ± {error:.4f} ({figures['served_users']:.0f})"
        popular = f"{figures['popular_ndcg']:.4f}, lead {figures['lead']:+.4f}"
        popular += f" ± {figures['lead_error']:.4f}"
    return predicted, before, happened, popular


def _served(current: Current) -> Table:
    experiment = f", experiment {current.experiment.name}" if current.experiment else ""
    table = Table(title=f"Served{experiment}", title_justify="left")
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
