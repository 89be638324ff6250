"""Reads of where instruments stand: latest quotes, and snapshots with the bars around them."""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from api.bars.aggregation import MINUTE_MS, MinuteBars, Window, minute_field, roll_up
from api.bars.answers import LatestQuote, LatestQuotes, Snapshot, Snapshots
from api.bars.asked import Asked
from api.bars.minutes import MinuteReader
from api.http.problems import INVALID_REQUEST, Problem
from api.http.replies import NOW, Reply, reply
from api.redis.reading import Read
from api.redis.store import Store
from contracts.keyspace import NEWEST_FIELD

QUOTES_AT_ONCE: Final = 250
"""Read in one round, so that others have their turn between two."""
MINUTES_OF_SNAPSHOTS: Final = 60_000
"""Of one answer. They take this process about 50 ms, in parts: a quarter of a read's deadline."""


class _Close(msgspec.Struct, frozen=True, gc=False):
    """The part of a `BarValue` that is the last quote."""

    c: float
    ct: int


_close = msgspec.json.Decoder(_Close)


class LatestReader:
    """Reads the newest of one namespace, by one clock."""

    def __init__(self, store: Store, now_ms: Callable[[], int]) -> None:
        self._minutes = MinuteReader(store)
        self._now_ms = now_ms

    def quotes(self, instruments: Asked) -> Read[Reply]:
        """Answer with the latest quote of each instrument."""
        found = yield from self._quotes(list(instruments.names))
        quotes = {instruments.names[i]: quote for i, quote in found.items()}
        return reply(LatestQuotes(quotes, instruments.without(found)), NOW)

    def snapshots(self, instruments: Asked) -> Read[Reply]:
        """Answer with where each instrument stands."""
        now_ms, names = self._now_ms(), instruments.names
        quotes = yield from self._quotes(list(names))
        days = Window.before(now_ms + 1, "1d", 2)
        lengths = yield from self._minutes.lengths(list(quotes))
        most = len(days.minutes()) + 1
        if sum(min(length, most) for length in lengths) > MINUTES_OF_SNAPSHOTS:
            raise _too_many(len(quotes), most)
        windows = dict.fromkeys(quotes, days)
        room = MINUTES_OF_SNAPSHOTS
        found = yield from self._minutes.page(windows, lengths, limit=room, minutes=room)
        snapshots = {
            names[i]: _snapshot(quote, found.minutes.get(i, ()), days, now_ms)
            for i, quote in quotes.items()
        }
        return reply(Snapshots(snapshots, instruments.without(quotes)), NOW)

    def _quotes(self, ids: Sequence[int]) -> Read[dict[int, LatestQuote]]:
        """Return the latest quote of each instrument that ever had one, in the order of `ids`."""
        found: dict[int, LatestQuote] = {}
        for first in range(0, len(ids), QUOTES_AT_ONCE):
            some = ids[first : first + QUOTES_AT_ONCE]
            found |= yield from self._some_quotes(some)
        return {i: found[i] for i in ids if i in found}

    def _some_quotes(self, ids: Sequence[int]) -> Read[dict[int, LatestQuote]]:
        """Return them in one round, or two: the newest minute is nearly always one of the last."""
        keys = yield from self._minutes.keys(ids)
        last = [minute_field(m) for m in Window.before(self._now_ms() + 1, "1m", 2).minutes()]
        answers = yield [("HMGET", key, NEWEST_FIELD, *last) for key in keys]
        values: dict[int, bytes | None] = {}
        older: list[tuple[int, str, bytes]] = []
        for instrument_id, key, (newest, *own) in zip(ids, keys, answers, strict=True):
            if newest is None:
                continue
            of_last = dict(zip(last, own, strict=True)).get(newest.decode())
            if of_last is None:
                older.append((instrument_id, key, newest))
            else:
                values[instrument_id] = of_last
        if older:
            rest = yield [("HGET", key, newest) for _, key, newest in older]
            values |= {i: value for (i, _, _), value in zip(older, rest, strict=True)}
        return {
            i: LatestQuote(close.c, close.ct)
            for i, value in values.items()
            if value is not None
            for close in (_close.decode(value),)
        }


def _snapshot(quote: LatestQuote, minutes: MinuteBars, days: Window, now_ms: int) -> Snapshot:
    running_ms = now_ms // MINUTE_MS * MINUTE_MS
    last = Window(running_ms - MINUTE_MS, running_ms, MINUTE_MS)
    by_minute = {
        bar.t: bar
        for bar in roll_up([m for m in minutes[-2:] if m[0] >= last.first_ms], last, now_ms)
    }
    by_day = {bar.t: bar for bar in roll_up(minutes, days, now_ms)}
    return Snapshot(
        quote=quote,
        minute=by_minute.get(last.last_ms),
        previous_minute=by_minute.get(last.first_ms),
        day=by_day.get(days.last_ms),
        previous_day=by_day.get(days.first_ms),
    )


def _too_many(n: int, minutes: int) -> Problem:
    reason = (
        f"the {n} have more than {MINUTES_OF_SNAPSHOTS:,} minute bars of two days: "
        f"ask for {MINUTES_OF_SNAPSHOTS // minutes} at a time"
    )
    errors = [{"field": "instruments", "reason": reason}]
    return Problem(INVALID_REQUEST, f"instruments: {reason}", errors=errors)
