"""Histories and G as a batch makes them of all events at once, in plain Python."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from contracts.messages import Interaction
from stream_processors.settings import Settings
from tests.oracles.gram import gram_matrix
from tests.oracles.histories import History, Rules, counted, fold


def histories(events: Sequence[Interaction], settings: Settings) -> dict[str, History]:
    """Return the history of each user who has done anything."""
    of_user: dict[str, History] = defaultdict(dict)
    rules = Rules.of(settings)
    for event in events:
        value = None if event.price is None else event.price * (event.quantity or 1)
        its = of_user[event.user_id]
        for _ in fold(its, event.instrument_id, event.event, event.ts, value, rules):
            pass
    return of_user


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """G of some items."""

    items: list[int]
    g: npt.NDArray[np.float64]
    """(n_items, n_items)"""


def counts(of_user: Mapping[str, History], items: Sequence[int]) -> Counts:
    """Return G of the items that anyone has had, which may be more than anyone has."""
    place = {item: k for k, item in enumerate(items)}
    r = np.zeros((len(of_user), len(items)))
    for row, history in enumerate(of_user.values()):
        for item, held in counted(history).items():
            r[row, place[item]] = held.affinity
    return Counts(list(items), gram_matrix(r))
