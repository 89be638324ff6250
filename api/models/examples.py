"""Examples of models for /docs."""

from typing import Final

from api.models.answers import (
    Arm,
    Experiments,
    Model,
    Models,
    Trial,
    Variant,
)
from api.models.figures import Checked, Figures, Learned
from contracts.decisions import BY_RULES, Decision
from contracts.figures import Comparison, HeldOut, Outcome
from contracts.generations import CANARY_VARIANT, DEFAULT_VARIANT

_CHECKED: Final = Checked(
    rule="users",
    level="hard",
    holds=True,
    value=2000,
    limit=0,
    meaning="users with a history, at least the limit",
)
_FIGURES: Final = Figures(
    started="2021-08-15T21:10:00+00:00",
    finished="2021-08-15T21:10:04+00:00",
    data=Learned(items=500, pairs=61234, users=2000, affinities=31000),
    quality=[_CHECKED],
    held_out=HeldOut(1800, 0.31, 0.29, 0.33, 0.8, 0.9),
)
_SERVED: Final = Model("20210815T211000Z-7", "cosine", "user-knn", report=_FIGURES)
_ON_TRIAL: Final = Model("20210815T221000Z-8", "ease", "user-knn", report=_FIGURES)

MODELS: Final = Models(
    experiment=None,
    variants=[
        Variant(DEFAULT_VARIANT, 0.9, _SERVED),
        Variant(CANARY_VARIANT, 0.1, _ON_TRIAL, Trial(0.1, 1629065404000, 1629069004000)),
    ],
    previous=[],
    held=False,
)
DECISION: Final = Decision(
    at="2021-08-15T22:10:04+00:00",
    generation="20210815T221000Z-8",
    variant=CANARY_VARIANT,
    what="on trial",
    why="for 60 minutes, with 10.0% of the users",
    by=BY_RULES,
)
_OUTCOME: Final = Outcome("ease", Comparison(310, 1920, 0.314, 0.296, -0.006, 0.042))
EXPERIMENTS: Final = Experiments(
    "spring",
    [
        Arm(DEFAULT_VARIANT, 9, 0.9, "20210815T211000Z-7"),
        Arm("ease", 1, 0.1, "20210815T211000Z-7-1", _OUTCOME),
    ],
    1628373004000,
    1628977804000,
)
