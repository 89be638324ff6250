"""The result as a self-contained HTML page: tables and plots."""

from typing import Any, Final

from jinja2 import Environment, PackageLoader, select_autoescape
from markupsafe import Markup

from trainer.evaluation.metrics import NAMES
from trainer.evaluation.plots import accuracy_and_coverage, activity, popularity
from trainer.evaluation.result import Evaluation
from trainer.evaluation.table import TITLES, sentence_on

_templates: Final = Environment(
    loader=PackageLoader("trainer.evaluation", "templates"),
    autoescape=select_autoescape(),
    trim_blocks=True,
    lstrip_blocks=True,
)


def page_of(evaluation: Evaluation) -> str:
    """Return the page; the figures are those of the JSON."""
    n = evaluation.models[0].measured.n
    return _templates.get_template("evaluation.html").render(
        evaluation=evaluation,
        sentence=sentence_on(evaluation.data),
        titles={name: TITLES[name].format(n=n) for name in NAMES},
        groups=evaluation.models[0].measured.by_activity,
        accuracy_and_coverage=_svg(accuracy_and_coverage(evaluation)),
        popularity=_svg(popularity(evaluation)),
        activity=_svg(activity(evaluation)),
    )


def _svg(drawn: str) -> Any:
    """Return an SVG element that the template takes as it is; all text in it was escaped."""
    return Markup(drawn)  # noqa: S704 (drawn by matplotlib, which escapes)
