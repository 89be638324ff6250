"""Turns minute bars into the bars of an answer: window, roll-up and fill. Pure.

Buckets are aligned to the epoch, weeks to the first Monday after it. A window holds the `limit`
buckets that start before `end`, each with all of its minutes, so with `end` now the last one is the
current bucket.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, Literal, TypeVar, get_args

import msgspec

from api.bars.answers import Bar, Gap, LegacyBar
from contracts.bars import GREATEST, BarField, BarValue, Merge, Minute, fields_of
from contracts.messages import Ints
from contracts.times import DAY_MS, HOUR_MS, MINUTE_MS

Interval = Literal["1m", "5m", "15m", "1h", "1d", "1w"]
INTERVALS_MS: Final[dict[Interval, int]] = dict(
    zip(
        get_args(Interval),
        (MINUTE_MS, 5 * MINUTE_MS, 15 * MINUTE_MS, HOUR_MS, DAY_MS, 7 * DAY_MS),
        strict=True,
    )
)
_MONDAY_MS: Final = 4 * INTERVALS_MS["1d"]
"""The first one after the epoch: weeks count from it, and align with all shorter buckets."""


T = TypeVar("T", int, Ints)
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

    They are those of the first fields of `result`. By position, as names would take twice as long.
    """
    first = result.__struct_fields__[: len(values)]
    code = ", ".join(values[name] for name in first)
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


@dataclass(frozen=True, slots=True)
class Window:
    """The buckets `first_ms, first_ms + interval_ms, ..., last_ms`."""

    first_ms: int
    last_ms: int
    interval_ms: int

    @classmethod
    def before(cls, end_ms: int, interval: Interval, limit: int) -> "Window":
        """Return the `limit` buckets of `interval` that start before `end_ms`.

        >>> Window.before(end_ms=120_000, interval="1m", limit=2)
        Window(first_ms=0, last_ms=60000, interval_ms=60000)
        """
        interval_ms = INTERVALS_MS[interval]
        last_ms = end_ms - 1 - (end_ms - 1 - _MONDAY_MS) % interval_ms
        return cls(last_ms - (limit - 1) * interval_ms, last_ms, interval_ms)

    @classmethod
    def between(cls, start_ms: int, end_ms: int, interval: Interval) -> "Window":
        """Return the buckets of `interval` that start in `[start_ms, end_ms)`; there may be none.

        >>> Window.between(start_ms=1, end_ms=120_001, interval="1m")
        Window(first_ms=60000, last_ms=120000, interval_ms=60000)
        """
        interval_ms = INTERVALS_MS[interval]
        last_ms = bucket_start(end_ms - 1, interval_ms)
        return cls(first_bucket(start_ms, interval_ms), last_ms, interval_ms)

    def since(self, start_ms: int) -> "Window":
        """Return the rest of the window: the buckets that start at `start_ms` or later."""
        return replace(self, first_ms=max(self.first_ms, first_bucket(start_ms, self.interval_ms)))

    def starts(self) -> range:
        """Return the starts of the buckets, epoch ms."""
        return range(self.first_ms, self.last_ms + 1, self.interval_ms)

    def minutes(self) -> range:
        """Return the starts of the minutes of all buckets, epoch ms; none is before the epoch."""
        return range(max(self.first_ms, 0), self.last_ms + self.interval_ms, MINUTE_MS)


def bucket_start(ts_ms: T, interval_ms: int) -> T:
    """Return the start of the bucket that contains a time, epoch ms; elementwise for an array (n,).

    >>> bucket_start(1629061628123, INTERVALS_MS["1w"])  # a Sunday
    1628467200000
    """
    return ts_ms - (ts_ms - _MONDAY_MS) % interval_ms


def first_bucket(start_ms: int, interval_ms: int) -> int:
    """Return the start of the first bucket that starts at or after a time, epoch ms."""
    return start_ms + (_MONDAY_MS - start_ms) % interval_ms


def minute_bars(minutes: Iterable[int], values: Iterable[bytes | None]) -> list[tuple[int, Minute]]:
    """Return the bars that exist, given the fields of some minutes of a `bars` hash."""
    decode = _minute.decode
    stored = zip(minutes, values, strict=True)
    return [(minute_ms, decode(value)) for minute_ms, value in stored if value]


def roll_up(minutes: MinuteBars, window: Window, now_ms: int) -> list[Bar]:
    """Return a bar for each bucket that has minutes, oldest first.

    Open is the first minute's, close the last one's; `closed` depends on the reader's clock.
    """
    newest_closed_ms = now_ms - window.interval_ms
    return [
        _bar(start_ms, whole, newest_closed_ms)
        for start_ms, whole in merged(minutes, window.interval_ms)
    ]


def merged(minutes: MinuteBars, interval_ms: int) -> MinuteBars:
    """Return each bucket's start with its merged minutes, oldest first."""
    if interval_ms == MINUTE_MS:
        return minutes
    found: list[tuple[int, Minute | BarValue]] = []
    first = 0
    while first < len(minutes):
        start_ms = bucket_start(minutes[first][0], interval_ms)
        end = bisect_left(minutes, (start_ms + interval_ms,), first)
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
    filled: list[Bar] = []
    for start in window.starts():
        if start in by_start:
            filled.append(by_start[start])
            close = filled[-1].c
        elif close is not None:
            closed = start + window.interval_ms <= now_ms
            filled.append(Bar(start, close, close, close, close, 0, 0, None, closed))
    return filled


def with_partial(bars: list[Bar], interval_ms: int, missing: Gap | None) -> list[Bar]:
    """Return `bars`, with those that overlap the `missing` minutes marked as partial."""
    if missing is None:
        return bars
    return [
        msgspec.structs.replace(bar, partial=True)
        if bar.t < missing.end and missing.start < bar.t + interval_ms
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


def _bar(start_ms: int, whole: Minute | BarValue, newest_closed_ms: int) -> Bar:
    """Return the bar of a bucket whose minutes are merged into `whole`."""
    average = whole.pv / whole.v if whole.v else None
    if average is not None and not whole.l <= average <= whole.h:
        # An average lies between its extremes; float division may be off by the last digit.
        average = whole.l if average < whole.l else whole.h
    return serve(start_ms, whole, average, start_ms <= newest_closed_ms)
