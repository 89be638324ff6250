"""Reads of bars: each returns its complete answer."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final
from zoneinfo import ZoneInfo

from api.bars.aggregation import Window, fill_previous, legacy_bars, roll_up
from api.bars.answers import Bars
from api.bars.intervals import MINUTE, Interval, in_zone
from api.bars.minutes import Found, Held, MinuteReader
from api.bars.pages import Position, Sort, beginning_of, page_of
from api.bars.past import PastReader
from api.bars.request import Of, Question, QuestionOfMany
from api.bars.seam import OlderBars, Seam
from api.bars.trading_hours import HoursOf, NoHoursError, Session, in_session
from api.http.parameters import RequestedInstruments
from api.http.problems import broken_rule
from api.http.reply import BY_ACCEPT, NOW, Reply, reply
from api.redis.reading import Read
from api.redis.store import Store

LEGACY_MINUTES: Final = 5


class BarReader:
    """Reads the bars of one namespace, by one clock."""

    def __init__(
        self,
        store: Store,
        now_ms: Callable[[], int],
        hours_of: HoursOf,
        older: OlderBars | None = None,
    ) -> None:
        """Read from a store, and from an archive what the store has only in part.

        `hours_of` returns an instrument's trading hours.
        """
        self._hours_of = hours_of
        self._minutes = MinuteReader(store)
        # What the archive adds begins with a minute, not with a bucket.
        self._windows = self._minutes if older else PastReader(store, self._minutes)
        self._seam = Seam(store, now_ms, older)
        self._now_ms = now_ms
        self._has_archive = older is not None

    def bars(
        self,
        instrument: int,
        limit: int,
        start: int | None,
        end: int | None,
        interval: Interval,
        timezone: ZoneInfo | None,
        session: Session | None,
        sort: Sort,
        fill: str,
        page_token: Position | None,
    ) -> Read[Reply]:
        """Answer with bars of any interval."""
        if timezone is not None or session is not None:
            interval = self._interval(instrument, interval, timezone, session)
        now_ms = self._now_ms()
        filled = fill == "previous"
        # Filling ends with the current bucket: future prices are not known.
        end_ms = now_ms if end is None or (filled and end > now_ms) else end
        if start is None and page_token is None:
            window, position, rest = Window.before(end_ms, interval, limit), None, None
            held = yield from self._windows.window(instrument, window)
            if self._seam.retains(window.first_ms, held, now_ms):
                found = roll_up(held.known(instrument), window, now_ms)
                if filled:
                    found = fill_previous(found, window, now_ms)
                if sort == "desc":
                    found.reverse()
                return reply(Bars(instrument, interval.text, found, None), NOW, BY_ACCEPT)
        else:
            if page_token is not None and page_token.instrument_id != instrument:
                raise broken_rule("page_token", "must be of an answer for the same instrument")
            if page_token is not None:
                page_token.check(interval, sort)
            window = Window.between(start or 0, end_ms, interval)
            position = page_token or Position(instrument, beginning_of(window, sort))
            window = _from(position, window, sort)
            held, rest = yield from self._page(instrument, window, limit, sort)
        asked = Question(instrument, interval, window, limit, sort, filled, now_ms, position)
        yield from self._seam.read([held.partition])
        part = self._seam.part(instrument, page_of(window, rest, sort), held)
        return self._seam.answer([part], partial(asked.answer, part, rest), BY_ACCEPT)

    def bars_of_many(
        self,
        instruments: RequestedInstruments,
        limit: int,
        start: int | None,
        end: int | None,
        interval: Interval,
        timezone: ZoneInfo | None,
        session: Session | None,
        sort: Sort,
        page_token: Position | None,
    ) -> Read[Reply]:
        """Answer with bars of several instruments, in the order of their ids."""
        now_ms = self._now_ms()
        own, without_hours = self._intervals(instruments.names, interval, timezone, session)
        names = {i: instruments.names[i] for i in own}
        interval = next(iter(own.values()), interval)  # they differ by the exchange alone
        if page_token is not None:
            page_token.check(interval, sort)
        if start is None:
            _check_share(len(names), limit)
        end_ms, share = now_ms if end is None else end, limit // max(len(names), 1)
        windows = {i: _window(start, end_ms, of, share) for i, of in own.items()}
        lengths = dict(zip(names, (yield from self._minutes.lengths(list(names))), strict=True))
        known = [i for i, length in lengths.items() if length]
        asked_of = names if self._has_archive else known
        windows = _windows_from(page_token, {i: windows[i] for i in asked_of}, sort)
        found = yield from self._minutes.page(windows, [lengths[i] for i in windows], limit, sort)
        yield from self._seam.read([held.partition for held in found.held.values()])
        of_each = [self._of(i, names[i], windows[i], found, sort) for i in found.held]
        unknown = [*instruments.unknown, *(names[i] for i in names if i not in asked_of)]
        asked = QuestionOfMany(
            interval, limit, sort, now_ms, of_each, found.rest, unknown, without_hours
        )
        return self._seam.answer([of.part for of in of_each], asked.answer, BY_ACCEPT)

    def _intervals(
        self,
        names: Mapping[int, str],
        interval: Interval,
        zone: ZoneInfo | None,
        session: Session | None,
    ) -> tuple[dict[int, Interval], dict[str, str]]:
        """Return the buckets of each instrument, and the reasons of those without trading hours."""
        found: dict[int, Interval] = {}
        without_hours: dict[str, str] = {}
        for instrument_id, name in names.items():
            try:
                found[instrument_id] = self._interval(instrument_id, interval, zone, session)
            except NoHoursError as error:
                without_hours[name] = str(error)
        return found, without_hours

    def _interval(
        self,
        instrument_id: int,
        interval: Interval,
        zone: ZoneInfo | None,
        session: Session | None,
    ) -> Interval:
        """Return the buckets of an instrument.

        Raises:
            Problem: they are not of whole days, but in a time zone, or no trading hours are known.
            NoHoursError: those of this instrument are not known.
        """
        if session is None:
            return in_zone(interval, zone)
        return in_session(interval, zone, session, *self._hours_of(instrument_id, session))

    def _of(self, instrument_id: int, name: str, window: Window, found: Found, sort: Sort) -> Of:
        held, rest = found.held[instrument_id], found.rest
        is_cut = rest is not None and rest.instrument_id == instrument_id
        page = page_of(window, rest if is_cut else None, sort)
        return Of(instrument_id, name, window, self._seam.part(instrument_id, page, held))

    def legacy(self, instrument_id: int) -> Read[Reply]:
        """Answer with the last minutes in the first version's form."""
        window = Window.before(self._now_ms(), MINUTE, LEGACY_MINUTES)
        held = yield from self._minutes.window(instrument_id, window)
        return reply(legacy_bars(instrument_id, held.known(instrument_id)), NOW)

    def _page(
        self, instrument: int, window: Window, limit: int, sort: Sort
    ) -> Read[tuple[Held, Position | None]]:
        """Return the buckets of a page from Redis, and where the next page begins."""
        lengths = yield from self._minutes.lengths([instrument])
        found = yield from self._minutes.page({instrument: window}, lengths, limit, sort)
        return found.held[instrument], found.rest


def _check_share(instruments: int, limit: int) -> None:
    """Check that there is a bucket for each instrument.

    Raises:
        Problem: there is not.
    """
    if limit < instruments:
        reason = f"must be {instruments} or more, one for each instrument, without `start`"
        raise broken_rule("limit", reason)


def _window(start: int | None, end_ms: int, interval: Interval, share: int) -> Window:
    """Return the buckets from `start` on, or an instrument's share of the last ones."""
    if start is not None:
        return Window.between(start, end_ms, interval)
    return Window.before(end_ms, interval, share)


def _from(position: Position, window: Window, sort: Sort) -> Window:
    """Return the part of a window on the page that begins at a position, and on later ones."""
    return window.since(position.at_ms) if sort == "asc" else window.until(position.at_ms)


def _windows_from(
    position: Position | None, windows: dict[int, Window], sort: Sort
) -> dict[int, Window]:
    """Return the rest of each instrument's window from where a page begins."""
    if position is None:
        return windows
    first = position.instrument_id
    left = {i: window for i, window in windows.items() if i >= first}
    return left | {i: _from(position, window, sort) for i, window in left.items() if i == first}
