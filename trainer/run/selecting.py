"""Which settings a variant's generation is made with: those that are set, or what `auto` chose.

A choice for the served generation is kept until the data or the settings have changed; its accuracy
is measured at every run.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from trainer.generations.inputs import events_folded
from trainer.generations.report import Report, Selection
from trainer.judging.found import Found, flattery, less
from trainer.run.learned import Learned
from trainer.settings import AUTO, TrainerSettings
from trainer.settings_file import changed
from trainer.stages import Stages

DATA_CHANGED: Final = 0.1
"""Share by which items, events or users must change before `auto` evaluates again."""


def is_wanted(settings: TrainerSettings) -> bool:
    """Return whether anything is to be chosen."""
    return AUTO in (settings.item_model, settings.user_model)


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
    from trainer.selection.auto import find  # takes a second

    def look(of: TrainerSettings) -> Found:
        return find(learned.histories, learned.stored, learned.gram.counts, of, stages)

    if not is_wanted(settings):
        return None, look(settings)
    remembered = _remembered(learned, settings, served)
    if remembered is not None:
        found = look(changed(settings, remembered.found.values))
        return remembered, less(found, flattery(remembered.found))
    found = look(settings)
    items, events, users = _extent(learned)
    return Selection(found, now().isoformat(), items, events, users), found


def _remembered(
    learned: Learned, settings: TrainerSettings, served: Report | None
) -> Selection | None:
    """Return what was chosen for the served generation, if it is still valid."""
    selection = served.selection if served else None
    if served is None or selection is None or selection.found.ndcg is None:
        return None
    if served.asked != settings.of_generation():
        return None
    then = (selection.items, selection.events, selection.users)
    close = all(abs(a - b) <= DATA_CHANGED * b for a, b in zip(_extent(learned), then, strict=True))
    return selection if close else None


def _extent(learned: Learned) -> tuple[int, int, int]:
    """Return how much there is: items, events that were folded, users."""
    users = len(learned.user_items.users)
    return len(learned.gram.items), events_folded(learned.inputs), users
