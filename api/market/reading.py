"""Reads of latest quotes, and of snapshots with the current and previous bars."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from api.bars.aggregation import MinuteBars, Window, roll_up, with_partial
from api.bars.answers import Bar, Gap, LatestQuote
from api.bars.intervals import DAY, MINUTE
from api.bars.minutes import MinuteReader, minute_fields
from api.bars.seam import MOST_DAYS, OlderBars, Part, ReadOlder, Seam
from api.http.parameters import RequestedInstruments
from api.http.problems import Problem, broken_rule
from api.http.reply import NOW, Reply, reply
from api.market.answers import LatestQuotes, Snapshot, Snapshots
from api.redis.reading import Read
from api.redis.store import Store
from contracts.keyspace import NEWEST_FIELD
from contracts.times import MINUTE_MS, minute_start

QUOTES_AT_ONCE: Final = 250
"""Read in one round, so that other requests run in between."""
MINUTES_OF_SNAPSHOTS: Final = 60_000
"""Per answer. They take this process about 50 ms, in parts: a quarter of a read's deadline."""


class _Close(msgspec.Struct, frozen=True, gc=False):
    """The fields of a `BarValue` that describe the last quote."""

    c: float
    ct: int


_close = msgspec.json.Decoder(_Close)
_DAYS: Final = 2
"""Of a snapshot: today and yesterday."""


class LatestReader:
    """Reads the latest quotes and snapshots of one namespace, by one clock."""

    def __init__(
        self, store: Store, now_ms: Callable[[], int], older: OlderBars | None = None
    ) -> None:
        """Read from a store, and from an archive what the store has only in part."""
        self._minutes = MinuteReader(store)
        self._seam = Seam(store, now_ms, older)
        self._now_ms = now_ms

    def newest(self, ids: Sequence[int]) -> Read[dict[int, LatestQuote]]:
        """Return the latest quote of each instrument that ever had one, in the order of `ids`."""
        found: dict[int, LatestQuote] = {}
        for first in range(0, len(ids), QUOTES_AT_ONCE):
            some = ids[first : first + QUOTES_AT_ONCE]
            found |= yield from self._some_quotes(some)
        return {i: found[i] for i in ids if i in found}

    def quotes(self, instruments: RequestedInstruments) -> Read[Reply]:
        """Answer with the latest quote of each instrument."""
        found = yield from self.newest(list(instruments.names))
        quotes = {instruments.names[i]: quote for i, quote in found.items()}
        return reply(LatestQuotes(quotes, instruments.without(found)), NOW)

    def snapshots(self, instruments: RequestedInstruments) -> Read[Reply]:
        """Answer with a snapshot of each instrument."""
        now_ms, names = self._now_ms(), instruments.names
        quotes = yield from self.newest(list(names))
        days = Window.before(now_ms + 1, DAY, _DAYS)
        lengths = yield from self._minutes.lengths(list(quotes))
        most = len(days.minutes()) + 1
        if sum(min(length, most) for length in lengths) > MINUTES_OF_SNAPSHOTS:
            raise _too_many(len(quotes), most)
        windows = dict.fromkeys(quotes, days)
        room = MINUTES_OF_SNAPSHOTS
        found = yield from self._minutes.page(windows, lengths, limit=room, minutes=room)
        yield from self._seam.read([held.partition for held in found.held.values()])
        parts = {i: self._seam.part(i, days, found.held[i]) for i in quotes}
        older = sum(part.older is not None for part in parts.values())
        if older * _DAYS > MOST_DAYS:
            raise _too_many_of_the_archive(older)

        def answer(read: ReadOlder | None) -> Snapshots:
            shown = {
                names[i]: _snapshot(quote, parts[i], days, now_ms, read)
                for i, quote in quotes.items()
            }
            return Snapshots(shown, instruments.without(quotes))

        return self._seam.answer(parts.values(), answer)

    def _some_quotes(self, ids: Sequence[int]) -> Read[dict[int, LatestQuote]]:
        """Return them in one round or two: the newest minute is nearly always one of the last."""
        keys = yield from self._minutes.keys(ids)
        last = minute_fields(Window.before(self._now_ms() + 1, MINUTE, 2).minutes())
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


def _snapshot(
    quote: LatestQuote, part: Part, days: Window, now_ms: int, read: ReadOlder | None
) -> Snapshot:
    running_ms = minute_start(now_ms)
    last = Window(running_ms - MINUTE_MS, running_ms, MINUTE)
    held = part.held.minutes
    newest = held[bisect_left(held, (last.first_ms,)) :]  # and those of clocks that are ahead
    whole = part.whole(read, "desc", _DAYS, MOST_DAYS)
    by_minute = _by_start(newest, last, now_ms, part.missing)
    by_day = _by_start(whole.minutes, days, now_ms, whole.missing)
    return Snapshot(
        quote=quote,
        minute=by_minute.get(last.last_ms),
        previous_minute=by_minute.get(last.first_ms),
        day=by_day.get(days.last_ms),
        previous_day=by_day.get(days.first_ms),
    )


def _by_start(
    minutes: MinuteBars, window: Window, now_ms: int, missing: Gap | None
) -> dict[int, Bar]:
    bars = with_partial(roll_up(minutes, window, now_ms), window.interval, missing)
    return {bar.t: bar for bar in bars}


def _too_many(n: int, minutes: int) -> Problem:
    return broken_rule(
        "instruments",
        f"the {n} have more than {MINUTES_OF_SNAPSHOTS:,} minute bars of two days: "
        f"ask for {MINUTES_OF_SNAPSHOTS // minutes} at a time",
    )


def _too_many_of_the_archive(n: int) -> Problem:
    return broken_rule(
        "instruments",
        f"for {n} of them the archive must be read, for {MOST_DAYS // _DAYS} at most in one "
        f"answer: ask for {MOST_DAYS // _DAYS} at a time",
    )
