"""Which settings a variant's generation is made with: those that are set, or what `auto` chose.

A choice for the served generation is kept until the data or the settings have changed; its accuracy
is measured at every run. Each search starts from scratch: one that set out from the last choice
stayed there, as what is best with more data differs in several settings at once.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec
import numpy as np
from pydantic import ValidationError

from contracts.messages import Floats, Ints
from trainer.counts.derived import Histories
from trainer.counts.matrices import Gram, UserItems
from trainer.generations.decisions import events_folded
from trainer.generations.report import Data, Found, Inputs, Report, Selection
from trainer.judging.search import find
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


def select(
    learned: Learned,
    settings: TrainerSettings,
    served: Report | None,
    stages: Stages,
    now: Callable[[], datetime],
) -> tuple[Selection | None, Found]:
    """Return what `auto` chooses, now or some time ago, and how well it predicts.

    Args:
        learned: what there is to learn from.
        settings: of the variant.
        served: the report of what it serves, None if there is none.
        stages: gets each candidate.
        now: the clock.
    """

    def look(of: TrainerSettings) -> Found:
        counts, before = learned.gram.counts, _served_values(of, served)
        return find(learned.histories, learned.stored, counts, of, stages, served=before)

    if AUTO not in (settings.item_model, settings.user_model):
        return None, look(settings)
    last = _last(settings, served)
    if last is not None and _is_valid(last, learned):
        found = look(changed(settings, last.found.values))
        return last, without_optimism(found, optimism(last.found))
    found = look(settings)
    return Selection(found, now().isoformat(), *_extent(learned)), found


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


def _served_values(settings: TrainerSettings, served: Report | None) -> Values | None:
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
    selection = served.selection if served else None
    return selection if selection and selection.found.ndcg is not None else None


def _is_valid(last: Selection, learned: Learned) -> bool:
    """Return whether there is about as much data as there was then."""
    then = (last.items, last.events, last.users)
    return all(abs(a - b) <= DATA_CHANGED * b for a, b in zip(_extent(learned), then, strict=True))


def _extent(learned: Learned) -> tuple[int, int, int]:
    """Return how much there is: items, events that were folded, users."""
    users = len(learned.user_items.users)
    return len(learned.gram.items), events_folded(learned.inputs), users
