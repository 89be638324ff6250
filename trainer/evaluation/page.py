"""The result as a self-contained HTML page: tables and plots. Pure: equal results, equal bytes."""

import io
from collections.abc import Sequence
from itertools import cycle
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from cycler import cycler
from jinja2 import Environment, PackageLoader, select_autoescape
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from trainer.evaluation.measuring import Estimate
from trainer.evaluation.result import TITLES, Evaluation, sentence_on
from trainer.judging.measures import NAMES

_templates: Final = Environment(
    loader=PackageLoader("trainer.evaluation", "templates"),
    autoescape=select_autoescape(),
    trim_blocks=True,
    lstrip_blocks=True,
)
_COLORS: Final = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#000000")
"""Of the models, in turn: those of Okabe and Ito, which the color-blind can tell apart."""
_OF_USERS: Final = "#9ca3af"
_STYLE: Final[dict[Any, Any]] = {
    "svg.hashsalt": "tickrec",  # ids in the file, random otherwise
    "svg.fonttype": "none",  # text stays text
    "font.family": "sans-serif",
    "axes.prop_cycle": cycler(color=_COLORS),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e5e7eb",
}
_SIZE_INCHES: Final = (7.5, 4.2)
_BAR_SHARE: Final = 0.8
"""Of the way from one group of bars to the next."""


def page_of(evaluation: Evaluation) -> str:
    """Return the page; the figures are those of the JSON."""
    n = evaluation.models[0].measured.n
    return _templates.get_template("evaluation.html").render(
        evaluation=evaluation,
        sentence=sentence_on(evaluation.data),
        titles={name: TITLES[name].format(n=n) for name in NAMES},
        groups=evaluation.models[0].measured.by_activity,
        accuracy_and_coverage=_accuracy_and_coverage(evaluation),
        popularity=_popularity(evaluation),
        activity=_activity(evaluation),
    )


def _accuracy_and_coverage(evaluation: Evaluation) -> Markup:
    """Draw nDCG over catalog coverage, a cross of both intervals for each model."""
    figure, axes = _axes("catalog coverage", f"nDCG@{evaluation.models[0].measured.n}")
    for of_model in evaluation.models:
        x, y = (of_model.measured.metrics[name] for name in ("coverage", "ndcg"))
        axes.errorbar(
            [_value(x)],
            [_value(y)],
            xerr=_spread(x),
            yerr=_spread(y),
            fmt="o",
            capsize=3,
            label=of_model.model,
        )
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    _name(figure, axes)
    return _drawn(figure)


def _popularity(evaluation: Evaluation) -> Markup:
    """Plot recommended against consumed items, the most popular first."""
    figure, axes = _axes("items, the most popular first", "share of what is consumed, or of lists")
    groups = evaluation.models[0].measured.by_popularity
    bars = {"consumed": [group.consumed for group in groups]} | {
        of_model.model: [group.recommended for group in of_model.measured.by_popularity]
        for of_model in evaluation.models
    }
    names = [f"{group.from_share:.0%} to {group.to_share:.0%}" for group in groups]
    _bars(axes, names, bars, (_OF_USERS, *_COLORS))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    _name(figure, axes)
    return _drawn(figure)


def _activity(evaluation: Evaluation) -> Markup:
    """Draw nDCG of users with few to many items."""
    n = evaluation.models[0].measured.n
    figure, axes = _axes("items of a user", f"nDCG@{n}")
    groups = evaluation.models[0].measured.by_activity
    bars = {
        of_model.model: [group.values["ndcg"] or 0 for group in of_model.measured.by_activity]
        for of_model in evaluation.models
    }
    names = [f"{group.least_items} to {group.most_items}" for group in groups]
    _bars(axes, names, bars, _COLORS)
    _name(figure, axes)
    return _drawn(figure)


def _axes(x: str, y: str) -> tuple[Figure, Axes]:
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=_SIZE_INCHES, layout="constrained")
        axes = figure.add_subplot()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    return figure, axes


def _bars(
    axes: Axes, names: list[str], bars: dict[str, list[float]], colors: Sequence[str]
) -> None:
    places = np.arange(len(names))
    width = _BAR_SHARE / len(bars)
    for k, ((label, heights), color) in enumerate(zip(bars.items(), cycle(colors), strict=False)):
        axes.bar(places + k * width, heights, width, label=label, color=color)
    axes.set_xticks(places + (len(bars) - 1) * width / 2, names)
    axes.grid(visible=False, axis="x")


def _name(figure: Figure, axes: Axes) -> None:
    """Put the legend of models next to the plot, where it hides nothing."""
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper", frameon=False)


def _drawn(figure: Figure) -> Markup:
    """Return the `<svg>` element of a figure, which the template takes as it is."""
    stream = io.StringIO()
    with mpl.rc_context(_STYLE):
        figure.savefig(stream, format="svg", metadata={"Date": None})
    text = stream.getvalue()
    return Markup(text[text.index("<svg") :])  # noqa: S704 (drawn by matplotlib, which escapes)


def _value(estimate: Estimate) -> float:
    return float("nan") if estimate.value is None else estimate.value


def _spread(estimate: Estimate) -> list[list[float]] | None:
    """Return how far the interval reaches down and up from the value."""
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return None
    return [
        [max(estimate.value - estimate.low, 0)],
        [max(estimate.high - estimate.value, 0)],
    ]
