"""Which settings a variant's generation is made with: those that are set, or what `auto` chose.

A choice for the served generation is kept until the data or the settings have changed; its accuracy
is measured at every run. Each search starts from scratch: one that set out from the last choice
stayed there, as what is best with more data differs in several settings at once. Where searches
have processes of their own, a generation takes the latest choice that there is, and waits for none.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from pydantic import ValidationError

from contracts.messages import Floats, Ints
from trainer.counts.derived import Histories
from trainer.counts.matrices import Gram, UserItems
from trainer.generations.decisions import events_folded
from trainer.generations.report import Data, Found, Inputs, Report, Selection
from trainer.judging.search import find, unsearched
from trainer.models import settings_part
from trainer.models.interface import Values
from trainer.quality.checking import Checked
from trainer.settings import AT_SERVING, AUTO, TrainerSettings
from trainer.settings_file import changed, flat
from trainer.stages import Stages

_OF_POPULAR: Final = f"{settings_part('popular')}_"

DATA_CHANGED: Final = 0.1
"""Share by which items, events or users must change before `auto` evaluates again."""


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """What all generations of a run are made from."""

    gram: Gram
    user_items: UserItems
    histories: Histories
    """of the same users, with a column for each item of `gram`"""
    stored: Floats
    """(entries,) their affinities as stored in Redis, users' scales included"""
    inputs: Inputs
    checked: list[Checked]
    started: datetime
    seconds: dict[str, float]
    """stage -> time that it took up to here"""

    @property
    def corrupt(self) -> list[str]:
        """`key: problem` of the first values that were left out."""
        return [*self.gram.corrupt, *self.user_items.corrupt]

    @property
    def n_corrupt(self) -> int:
        """How many values were left out."""
        return self.gram.n_corrupt + self.user_items.n_corrupt


def data_of(gram: Gram, user_items: UserItems) -> Data:
    """Return how much there was to learn from."""
    own = gram.counts.diagonal()
    others: Ints = np.diff(gram.counts.indptr) - (own > 0)
    return Data(
        items=len(gram.items),
        pairs=int(others.sum()) // 2,
        items_of_one_user=int((own == 1).sum()),
        items_alone=int((others == 0).sum()),
        users=len(user_items.users),
        affinities=user_items.affinities.nnz,
        own_counts=float(own.sum()),
        latest_ms=int(user_items.ts_ms.max(initial=0)),
    )


class Selected(NamedTuple):
    """What a generation is made with."""

    settings: TrainerSettings
    selection: Selection | None
    """None: nothing was to be chosen, or no search has finished"""
    found: Found
    """how well it predicts"""
    is_due: bool
    """a search is to begin: data or settings are no longer those of the choice"""


def select(
    learned: Learned,
    settings: TrainerSettings,
    served: Report | None,
    choice: Selection | None,
    stages: Stages,
    *,
    waits: bool,
) -> Selected:
    """Return the settings of a variant's generation, and how well they predict.

    Args:
        learned: what there is to learn from.
        settings: of the variant.
        served: the report of what it serves.
        choice: what a search chose that no generation was made with yet.
        stages: gets each candidate.
        waits: whether a search that is due is done here.
    """
    before = served_values(settings, served)

    def look(of: TrainerSettings) -> Found:
        counts = learned.gram.counts
        return find(learned.histories, learned.stored, counts, of, stages, served=before)

    if AUTO not in (settings.item_model, settings.user_model):
        return Selected(settings, None, look(settings), is_due=False)
    last = choice or _last(settings, served)
    is_due = last is None or not _is_valid(last, learned)
    if is_due and waits:
        found = look(settings)
        made_with = changed(settings, found.values)
        return Selected(made_with, Selection(found, *basis(learned)), found, is_due=False)
    values = last.found.values if last else unsearched(settings, before)
    made_with = changed(settings, values)
    if last is None and served is None:  # the first lists do not wait for figures
        return Selected(made_with, None, Found(values, "nothing was searched yet"), is_due)
    by = optimism(last.found) if last else 0.0
    return Selected(made_with, last, without_optimism(look(made_with), by), is_due)


def optimism(found: Found) -> float:
    """Return by how much the users that a candidate was chosen on overrate it; 0 if unknown.

    Source of the term: Efron, "How biased is the apparent error rate of a prediction rule?", JASA
    81(394), 1986.
    """
    chosen = next((tried for tried in found.tried if tried.values == found.values), None)
    return 0.0 if chosen is None or found.ndcg is None else chosen.ndcg - found.ndcg


def without_optimism(found: Found, by: float) -> Found:
    """Return the same with lower figures, as these are of users that the choice was made on."""
    if found.ndcg is None or found.low is None or found.high is None:
        return found
    ndcg, low, high = (round(max(of - by, 0), 6) for of in (found.ndcg, found.low, found.high))
    return msgspec.structs.replace(found, ndcg=ndcg, low=low, high=high)


def served_values(settings: TrainerSettings, served: Report | None) -> Values | None:
    """Return the settings that are served, by name; None of nothing, or of another release's.

    Without those of the popular list, which no history is folded into.
    """
    if served is None:
        return None
    now, models = flat(settings.of_generation()), ("item_model", "user_model")
    values = {
        name: value
        for name, value in _of_lists(flat(served.settings)).items()
        if name in models or (value != now.get(name) and not name.startswith(_OF_POPULAR))
    }
    with suppress(ValidationError):
        changed(settings, values)
        return values
    return None


def _of_lists(settings: Mapping[str, Any]) -> Values:
    """Return the settings that lists depend on."""
    return {name: value for name, value in settings.items() if name not in AT_SERVING}


def _last(settings: TrainerSettings, served: Report | None) -> Selection | None:
    """Return what was chosen for the served generation with the same settings, if anything was."""
    asked = served.asked if served else None
    if asked is None or _of_lists(asked) != _of_lists(settings.of_generation()):
        return None
    return served.selection if served else None


def _is_valid(last: Selection, learned: Learned) -> bool:
    """Return whether there is about as much data as there was then."""
    then = (last.items, last.events, last.users)
    return all(
        abs(a - b) <= DATA_CHANGED * b for a, b in zip(basis(learned)[1:], then, strict=True)
    )


def basis(learned: Learned) -> tuple[str, int, int, int]:
    """Return since when and from how much is chosen, as a `Selection` has it."""
    items, users = len(learned.gram.items), len(learned.user_items.users)
    return learned.started.isoformat(), items, events_folded(learned.inputs), users
