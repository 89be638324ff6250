"""Ranks the instruments that moved most over a window, by their opens and closes. Pure."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, Literal, get_args

import msgspec
import numpy as np

from api.http.named import Named
from contracts.bars import GREATEST
from contracts.messages import Floats, Ints
from contracts.times import MINUTE_MS, minute_field

MoversWindow = Literal["5m", "15m", "1h"]
Direction = Literal["up", "down"]
WINDOWS: Final[tuple[MoversWindow, ...]] = get_args(MoversWindow)
DIRECTIONS: Final[tuple[Direction, ...]] = get_args(Direction)
MINUTES: Final[Mapping[MoversWindow, int]] = {"5m": 5, "15m": 15, "1h": 60}
AT_EITHER_END: Final = 3
"""Minutes at either end of a window that may contain its first or last quote."""
RANKED: Final = 5_000
"""So many movers of a window and direction can be filtered in a millisecond."""

Shown = Callable[[int], bool]


class Mover(Named, frozen=True, gc=False, omit_defaults=True):
    """An instrument whose price changed over the window."""

    change: float
    """`close / open - 1`"""
    open: float
    """first price of the window"""
    close: float
    """last price of the window"""


class Movers(msgspec.Struct, frozen=True):
    """The instruments that moved most, the largest change first."""

    window: MoversWindow
    direction: Direction
    as_of: int | None
    """end of the window, epoch ms; null: no prices are known yet"""
    movers: list[Mover]


Ranking = Mapping[tuple[MoversWindow, Direction], Sequence[Mover]]


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """The rankings of the windows that end at one time."""

    as_of_ms: int | None = None
    movers: Ranking = field(default_factory=dict)

    def first(
        self, window: MoversWindow, direction: Direction, n: int, shown: Shown | None
    ) -> list[Mover]:
        """Return the first `n` movers that `shown` allows; None allows all."""
        movers = self.movers.get((window, direction), ())
        if shown is None:
            return list(movers[:n])
        return list(islice((m for m in movers if shown(m.instrument_id)), n))


def fields_of(end_ms: int) -> list[str]:
    """Return the fields of a `bars` hash to read for windows that end at `end_ms`.

    First the last minutes, the latest first; then, for each window, its first ones.
    """
    minutes = [end_ms - MINUTE_MS * (1 + age) for age in range(AT_EITHER_END)]
    for window in WINDOWS:
        start_ms = end_ms - MINUTE_MS * MINUTES[window]
        minutes += [start_ms + MINUTE_MS * age for age in range(AT_EITHER_END)]
    return list(map(minute_field, minutes))


def first_present(values: Sequence[bytes | None]) -> Iterator[bytes | None]:
    """Yield the first value that exists at each end in turn, given the values of `fields_of`."""
    for at in range(0, len(values), AT_EITHER_END):
        yield next((v for v in values[at : at + AT_EITHER_END] if v is not None), None)


def ranked(ids: Ints, opens: Floats, closes: Floats) -> tuple[list[Mover], list[Mover]]:
    """Return what rose most and what fell most over a window; ties are broken by the smaller id.

    Args:
        ids: (m,), ascending.
        opens: (m,), NaN where there was no price.
        closes: (m,), NaN where there was no price.
    """
    with np.errstate(over="ignore"):
        changes = np.minimum(closes / opens - 1, GREATEST)  # NaN stays
    order = np.argsort(-changes, kind="stable")  # NaN comes last
    rising = order[: min(RANKED, int((changes > 0).sum()))]
    order = np.argsort(changes, kind="stable")
    falling = order[: min(RANKED, int((changes < 0).sum()))]
    up, down = (_movers(places, ids, changes, opens, closes) for places in (rising, falling))
    return up, down


def _movers(places: Ints, ids: Ints, changes: Floats, opens: Floats, closes: Floats) -> list[Mover]:
    columns = (column[places].tolist() for column in (ids, changes, opens, closes))
    return [Mover(*row) for row in zip(*columns, strict=True)]
