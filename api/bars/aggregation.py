"""Turns minute bars into the bars of an answer: window, roll-up and fill. Pure.

A window holds the `limit` buckets of an interval that start before `end`, each with all of its
minutes, so with `end` now the last one is the current bucket.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import msgspec

from api.bars.answers import Bar, Gap, LegacyBar
from api.bars.intervals import Interval
from contracts.bars import GREATEST, BarField, BarValue, Merge, Minute, fields_of
from contracts.times import MINUTE_MS

MinuteBars = Sequence[tuple[int, Minute | BarValue]]
"""Minute bars by their start in epoch ms, oldest first."""

_minute = msgspec.json.Decoder(Minute)


# What is done to each of a bar's fields is written out from their table: a loop over the fields
# would take 1.2 to 2.3 times as long, in every request for longer bars. Lists, because generators
# would take twice as long.
_MERGED: Final[Mapping[Merge, str]] = {
    "first": "minutes[0].{letter}",
    "last": "minutes[-1].{letter}",
    "max": "max([m.{letter} for m in minutes])",
    "min": "min([m.{letter} for m in minutes])",
    "sum": "sum([m.{letter} for m in minutes])",
}


def _merged(letter: str, field: BarField) -> str:
    value = _MERGED[field.merge].format(letter=letter)
    return f"min({value}, GREATEST)" if field.kind == "amount" else value


def _written_out(
    parameters: str, result: type[msgspec.Struct], values: Mapping[str, str]
) -> Callable[..., Any]:
    """Return the function of `parameters` that makes a `result` of these expressions.

    By position as far as there are any, as names would take twice as long.
    """
    fields = result.__struct_fields__
    n = next((n for n, name in enumerate(fields) if name not in values), len(fields))
    named = [f"{name}={values[name]}" for name in fields[n:] if name in values]
    code = ", ".join([*(values[name] for name in fields[:n]), *named])
    known = {"make": result, "GREATEST": GREATEST}
    made: Callable[..., Any] = eval(f"lambda {parameters}: make({code})", known)  # noqa: S307
    return made


merge_minutes: Final[Callable[[Sequence[Minute | BarValue]], Minute]] = _written_out(
    "minutes",
    Minute,
    {letter: _merged(letter, field) for letter, field in fields_of(Minute).items()},
)
"""Merges minutes, oldest first."""

serve: Final[Callable[[int, Minute | BarValue, float | None, bool], Bar]] = _written_out(
    "t, minute, vw, closed",
    Bar,
    {
        **{name: name for name in ("t", "vw", "closed")},
        **{letter: f"minute.{letter}" for letter in fields_of(Bar)},
    },
)
"""Makes the bar of an answer: of its start, minutes, average price, and whether it is closed."""

_flat: Final[Callable[[int, float, bool], Bar]] = _written_out(
    "t, close, closed",
    Bar,
    {
        "t": "t",
        "vw": "None",
        "closed": "closed",
        **{
            letter: "close" if field.kind == "price" else "0"
            for letter, field in fields_of(Bar).items()
        },
    },
)
"""Makes a bar without quotes: of its start, the close before, and whether it is closed."""


@dataclass(frozen=True, slots=True)
class Window:
    """The buckets of an interval that start at `first_ms`, at `last_ms`, or in between."""

    first_ms: int
    last_ms: int
    interval: Interval

    @classmethod
    def before(cls, end_ms: int, interval: Interval, limit: int) -> "Window":
        """Return the `limit` buckets of `interval` that start before `end_ms`.

        >>> from api.bars.intervals import MINUTE
        >>> list(Window.before(end_ms=120_000, interval=MINUTE, limit=2).starts())
        [0, 60000]
        """
        return cls(*interval.last(end_ms, limit), interval)

    @classmethod
    def between(cls, start_ms: int, end_ms: int, interval: Interval) -> "Window":
        """Return the buckets of `interval` that start in `[start_ms, end_ms)`; there may be none.

        >>> from api.bars.intervals import MINUTE
        >>> list(Window.between(start_ms=1, end_ms=120_001, interval=MINUTE).starts())
        [60000, 120000]
        """
        return cls(interval.first_from(start_ms), interval.start_of(end_ms - 1), interval)

    def since(self, start_ms: int) -> "Window":
        """Return the rest of the window: the buckets that start at `start_ms` or later."""
        return replace(self, first_ms=max(self.first_ms, self.interval.first_from(start_ms)))

    def until(self, end_ms: int) -> "Window":
        """Return the first part of the window: the buckets that start before `end_ms`."""
        return replace(self, last_ms=min(self.last_ms, self.interval.start_of(end_ms - 1)))

    @property
    def end_ms(self) -> int:
        """The end of the last bucket, epoch ms."""
        return self.interval.end_of(self.last_ms)

    def starts(self) -> Sequence[int]:
        """Return the starts of the buckets, epoch ms."""
        return self.interval.starts(self.first_ms, self.last_ms)

    def minutes(self) -> range:
        """Return the starts of the minutes of all buckets, epoch ms; none is before the epoch."""
        return range(max(self.first_ms, 0), self.interval.end_of(self.last_ms), MINUTE_MS)


def minute_bars(minutes: Iterable[int], values: Iterable[bytes | None]) -> list[tuple[int, Minute]]:
    """Return the bars that exist, given the fields of some minutes of a `bars` hash."""
    decode = _minute.decode
    stored = zip(minutes, values, strict=True)
    return [(minute_ms, decode(value)) for minute_ms, value in stored if value]


def roll_up(minutes: MinuteBars, window: Window, now_ms: int) -> list[Bar]:
    """Return a bar for each bucket that has minutes, oldest first.

    Open is the first minute's, close the last one's; `closed` depends on the reader's clock.
    """
    interval = window.interval
    current_ms = interval.start_of(now_ms)
    return [_bar(start_ms, whole, current_ms) for start_ms, whole in merged(minutes, interval)]


def merged(minutes: MinuteBars, interval: Interval) -> MinuteBars:
    """Return each bucket's start with its merged minutes, oldest first."""
    if interval.length_ms == MINUTE_MS:
        return minutes
    found: list[tuple[int, Minute | BarValue]] = []
    first = 0
    while first < len(minutes):
        start_ms = interval.start_of(minutes[first][0])
        end = bisect_left(minutes, (interval.end_of(start_ms),), first)
        own = [minute for _, minute in minutes[first:end]]
        found.append((start_ms, merge_minutes(own) if len(own) > 1 else own[0]))
        first = end
    return found


def fill_previous(
    bars: Sequence[Bar], window: Window, now_ms: int, close: float | None = None
) -> list[Bar]:
    """Return `bars` with a flat bar at the previous close for each bucket without one.

    Without the `close` before the window, buckets before the first bar stay absent: the price is
    not known.
    """
    by_start = {bar.t: bar for bar in bars}
    current_ms = window.interval.start_of(now_ms)
    filled: list[Bar] = []
    for start in window.starts():
        if start in by_start:
            filled.append(by_start[start])
            close = filled[-1].c
        elif close is not None:
            filled.append(_flat(start, close, start < current_ms))
    return filled


def with_partial(bars: list[Bar], interval: Interval, missing: Gap | None) -> list[Bar]:
    """Return `bars`, with those that `missing` minutes may belong to marked as partial."""
    if missing is None:
        return bars
    return [
        msgspec.structs.replace(bar, partial=True)
        if interval.trades(max(bar.t, missing.start), min(interval.end_of(bar.t), missing.end))
        else bar
        for bar in bars
    ]


def legacy_bars(instrument_id: int, minutes: MinuteBars) -> dict[str, LegacyBar]:
    """Return minute bars in the first version's form: by UTC minute, `2021-08-16 23:32:00`."""
    return {
        _utc(minute_ms): LegacyBar(
            instrument_id, price_close=bar.c, price_high=bar.h, price_low=bar.l, price_open=bar.o
        )
        for minute_ms, bar in minutes
    }


@lru_cache(maxsize=1024)  # nearly all answers contain the same few minutes
def _utc(minute_ms: int) -> str:
    return f"{datetime.fromtimestamp(minute_ms // 1000, UTC):%Y-%m-%d %H:%M:%S}"


def _bar(start_ms: int, whole: Minute | BarValue, current_ms: int) -> Bar:
    """Return the bar of a bucket whose minutes are merged into `whole`.

    It is closed if it is before the current bucket, which starts at `current_ms`.
    """
    average = whole.pv / whole.v if whole.v else None
    if average is not None and not whole.l <= average <= whole.h:
        # An average lies between its extremes; float division may be off by the last digit.
        average = whole.l if average < whole.l else whole.h
    return serve(start_ms, whole, average, start_ms < current_ms)
