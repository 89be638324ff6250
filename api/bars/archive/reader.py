"""Reads bars of one instrument from the archive; it blocks, so it runs in a `reader_thread`."""

from collections.abc import Iterator

from api.bars.archive.columns import MinuteColumns, joined, newest_revisions, partial_bars
from api.bars.archive.files import Files, Listing
from api.bars.archive.ranges import MOST_DAYS, Archived, Range
from api.bars.archive.rows import Rows
from contracts.bars import Minute
from contracts.times import DAY_MS


class ArchiveReader:
    """The bars in the archive."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._rows = Rows()

    def open(self) -> None:
        """Do the preparation of the first read: list the files.

        Raises:
            Exception: as `Files.listing`.
        """
        self._files.listing()

    def last(self, asked: Range) -> Archived:
        """Return the last buckets of a range, all of them if they are within `MOST_DAYS`.

        Raises:
            Exception: as `Files.listing` and `Rows.of`.
        """
        try:
            return self._last(asked, self._files.listing())
        except FileNotFoundError:  # a file was replaced since the listing was made
            return self._last(asked, self._files.listing(refresh=True))

    def first(self, asked: Range, buckets: int, days: int) -> Archived:
        """Return the first `buckets` of a range that have bars, fewer if `days` are read before.

        Args:
            asked: the range.
            buckets: how many at most.
            days: of the archive to read at most; at least a bucket's length.

        Raises:
            Exception: as `Files.listing` and `Rows.of`.
        """
        try:
            return self._first(asked, buckets, days, self._files.listing())
        except FileNotFoundError:
            return self._first(asked, buckets, days, self._files.listing(refresh=True))

    def newest(self, asked: Range, buckets: int, days: int) -> Archived:
        """Return the last `buckets` of a range that have bars, fewer if `days` are read before.

        Arguments and errors are those of `first`.
        """
        try:
            return self._newest(asked, buckets, days, self._files.listing())
        except FileNotFoundError:
            return self._newest(asked, buckets, days, self._files.listing(refresh=True))

    def _last(self, asked: Range, listing: Listing) -> Archived:
        days = _days(asked, listing)
        first_ms = asked.first_ms
        if len(days) > MOST_DAYS:
            first_ms = asked.interval.first_from(days[-MOST_DAYS] * DAY_MS)
        bars = list(self._bars(asked, listing, [d for d in days if (d + 1) * DAY_MS > first_ms]))
        return Archived(
            [bar for bar in bars if bar[0] >= first_ms], first_ms, None, listing.newest_ms
        )

    def _first(self, asked: Range, buckets: int, most: int, listing: Listing) -> Archived:
        days = _days(asked, listing)
        bars: list[tuple[int, Minute]] = []
        rest_ms: int | None = None
        if len(days) > most:
            rest_ms = asked.interval.start_of(days[most] * DAY_MS)
        for bar in self._bars(asked, listing, days[:most]):
            if rest_ms is not None and bar[0] >= rest_ms:
                break
            if not bars or bars[-1][0] != bar[0]:
                if buckets == 0:
                    rest_ms = bar[0]
                    break
                buckets -= 1
            bars.append(bar)
        return Archived(bars, asked.first_ms, rest_ms, listing.newest_ms, min(len(days), most))

    def _newest(self, asked: Range, buckets: int, most: int, listing: Listing) -> Archived:
        days = _days(asked, listing)
        first_ms = asked.first_ms
        if len(days) > most:
            first_ms = asked.interval.first_from(days[-most] * DAY_MS)
        is_cut = len(days) > most
        parts: list[list[tuple[int, Minute]]] = []
        starts: set[int] = set()
        for day in reversed(days[-most:]):
            parts.append([bar for bar in self._bars(asked, listing, [day]) if bar[0] >= first_ms])
            starts.update(start for start, _ in parts[-1])
            if len(starts) > buckets:  # the first one may begin on an earlier day
                first_ms, is_cut = sorted(starts)[-buckets], True
                break
        bars = [bar for part in reversed(parts) for bar in part if bar[0] >= first_ms]
        rest_ms = first_ms if is_cut else None
        return Archived(bars, asked.first_ms, rest_ms, listing.newest_ms, len(parts))

    def _bars(
        self, asked: Range, listing: Listing, days: list[int]
    ) -> Iterator[tuple[int, Minute]]:
        """Yield bars day by day: a bucket longer than a day comes in several parts."""
        for day in days:
            yield from partial_bars(self._minutes(asked, listing, day), asked.interval)

    def _minutes(self, asked: Range, listing: Listing, day: int) -> MinuteColumns:
        first_ms = max(asked.first_ms, day * DAY_MS)
        end_ms = min(asked.end_ms, (day + 1) * DAY_MS)
        found = [
            self._rows.of(listing.io, one.path, asked.instrument_id)
            for one in listing.of(asked.instrument_id, day, first_ms, end_ms)
        ]
        return newest_revisions(joined(found), first_ms, end_ms)


def _days(asked: Range, listing: Listing) -> list[int]:
    """Return the days of a range that have files, in order."""
    first, end = asked.first_ms // DAY_MS, -(-asked.end_ms // DAY_MS)
    return listing.days(asked.instrument_id, first, end)
