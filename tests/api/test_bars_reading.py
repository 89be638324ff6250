"""Bars from a real store equal those of a naive reference, for every kind of request."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final, NamedTuple, NoReturn
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from api.bars.aggregation import Window
from api.bars.intervals import DAY, MINUTE, in_zone, parse_interval
from api.bars.minutes import MinuteReader
from api.bars.pages import Position, parse_token
from api.bars.reading import BarReader
from api.http.metrics import Metrics
from api.http.parameters import RequestedInstruments
from api.http.problems import Problem
from api.http.reply import Reply
from api.market.reading import LatestReader
from api.redis.reading import Read
from api.redis.store import Store
from contracts.bars import BarValue
from contracts.keyspace import FOLDING_FIELD, NOT_WHOLE_YET_S, WHOLE_FIELD
from contracts.partitioning import instrument_partition
from contracts.topics import QUOTES
from tests.examples import examples
from tests.oracles.served_bars import served_bars

from .conftest import NOW_MS, RUNNING_S, TOPOLOGY, Filled
from .reading import run

ZONES: Final = ("America/New_York", "Asia/Kolkata")
DAY_S: Final = RUNNING_S // 86_400 * 86_400
Stored = dict[int, BarValue]


def value(number: int) -> BarValue:
    price = 10 + number % 7 / 8
    return BarValue(price, price + 1, price - 1, price + 0.5, 3, 2, 3 * price, 0, 5, (0, number))


def dense(minutes: int) -> Stored:
    return {RUNNING_S - 60 * age: value(age) for age in range(minutes)}


class Readers(NamedTuple):
    """The reads of a namespace, run against its store."""

    bars: BarReader
    latest: LatestReader
    filled: Filled

    def run(self, read: Read[Reply], rounds: list[int] | None = None) -> Any:
        return json.loads(run(read, self.filled.store, self.filled, rounds=rounds).body)

    def one(self, rounds: list[int] | None = None, **changed: Any) -> Any:
        usual = {"instrument": 4, "limit": 5, "start": None, "end": None, "interval": "1m"}
        query = usual | {"timezone": None, "session": None, "sort": "asc", "fill": "none"} | changed
        query.setdefault("page_token", None)
        read = self.bars.bars(**query | {"interval": parse_interval(query["interval"])})
        return self.run(read, rounds)

    def many(self, ids: list[int], rounds: list[int] | None = None, **changed: Any) -> Any:
        usual = {"limit": 1000, "start": None, "end": None, "interval": "1m", "timezone": None}
        query = usual | {"session": None, "sort": "asc", "page_token": None} | changed
        query["interval"] = parse_interval(query["interval"])
        return self.run(self.bars.bars_of_many(asked(ids), **query), rounds)


def asked(ids: list[int], *unknown: str) -> RequestedInstruments:
    return RequestedInstruments({i: str(i) for i in sorted(ids)}, list(unknown))


@pytest.fixture
def readers(store_url: str, filled: Filled) -> Readers:
    store = Store(store_url, filled.keys.namespace, Metrics().store_errors)
    return Readers(BarReader(store, clock, no_hours), LatestReader(store, clock), filled)


def no_hours(instrument_id: int, session: str) -> NoReturn:
    raise AssertionError(f"nobody asked for the {session} hours of {instrument_id}")


def clock() -> int:
    return NOW_MS


def expected(stored: Mapping[int, BarValue], window: Window, fill: str = "none") -> Any:
    """Return the bars of a window, from all that is stored."""
    minutes = {1000 * second: value for second, value in stored.items()}
    buckets = [(start, window.interval.end_of(start)) for start in window.starts()]
    return served_bars(minutes, buckets, NOW_MS, fill)


def in_order(bars: list[Any], sort: str) -> list[Any]:
    return bars if sort == "asc" else bars[::-1]


def pages(readers: Readers, **query: Any) -> Iterator[Any]:
    """Yield page after page of one instrument."""
    token: str | None = None
    while True:
        page = readers.one(page_token=parse_token(token) if token else None, **query)
        yield page["bars"]
        token = page["next_page_token"]
        if token is None:
            return


ages = st.integers(0, 3000) | st.integers(0, 30)
zoned = st.sampled_from(
    [(text, None) for text in ("1m", "2m", "15m", "1h", "4h", "1d", "1w")]
    + [(text, ZoneInfo(zone)) for text in ("1d", "1w") for zone in ZONES]
)
reused = examples(60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def store_ages(readers: Readers, chosen: set[int]) -> Stored:
    """Store these minutes, and no others."""
    stored = {RUNNING_S - 60 * age: value(age) for age in chosen}
    filled = readers.filled
    filled.store.delete(filled.keys.bars(instrument_partition(4, TOPOLOGY.quotes), 4))
    filled.bars(4, stored)
    return stored


@reused
@given(
    chosen=st.sets(ages, min_size=1, max_size=40),
    interval=zoned,
    limit=st.integers(1, 1000),
    end=st.none() | ages.map(lambda age: (RUNNING_S - 60 * age) * 1000),
    fill=st.sampled_from(["none", "previous"]),
    sort=st.sampled_from(["asc", "desc"]),
)
def test_the_last_buckets_are_those_of_all_minutes(
    readers: Readers,
    *,
    chosen: set[int],
    interval: tuple[str, ZoneInfo | None],
    limit: int,
    end: int | None,
    fill: str,
    sort: str,
) -> None:
    stored, (text, zone) = store_ages(readers, chosen), interval
    window = Window.before(
        NOW_MS if end is None else end, in_zone(parse_interval(text), zone), limit
    )
    query = {"limit": limit, "interval": text, "timezone": zone, "end": end}
    found = readers.one(**query, fill=fill, sort=sort)
    assert found["bars"] == in_order(expected(stored, window, fill), sort)
    assert found["next_page_token"] is None
    several = readers.many([4], **query, sort=sort)["bars"]
    bars = in_order(expected(stored, window), sort)
    assert several == ({"4": bars} if bars else {})


@reused
@given(
    chosen=st.sets(ages, min_size=1, max_size=40),
    interval=zoned.filter(lambda interval: interval[0] not in ("1m", "2m")),
    limit=st.integers(1, 12),
    age=st.integers(0, 3100),
    fill=st.sampled_from(["none", "previous"]),
    sort=st.sampled_from(["asc", "desc"]),
)
def test_pages_from_a_start_on_together_are_all_buckets(
    readers: Readers,
    *,
    chosen: set[int],
    interval: tuple[str, ZoneInfo | None],
    limit: int,
    age: int,
    fill: str,
    sort: str,
) -> None:
    stored, (text, zone) = store_ages(readers, chosen), interval
    start = (RUNNING_S - 60 * age) * 1000 + 1
    query = {"start": start, "interval": text, "timezone": zone, "limit": limit}
    found = list(pages(readers, **query, fill=fill, sort=sort))
    window = Window.between(start, NOW_MS, in_zone(parse_interval(text), zone))
    whole = in_order(expected(stored, window, fill), sort)
    assert [bar for page in found for bar in page] == whole
    assert all(len(page) == limit for page in found[:-1])


def test_a_week_that_clocks_are_turned_back_in_fits_on_a_page(readers: Readers) -> None:
    zone = ZoneInfo("America/New_York")
    start = int(datetime(2020, 10, 26, tzinfo=zone).timestamp())
    week = {start + 60 * n: value(n) for n in range(169 * 60)}
    readers.filled.bars(4, week)
    query = {"interval": "1w", "timezone": zone, "start": 1000 * start, "limit": 5}
    (bars,) = pages(readers, **query)
    assert [(bar["t"], bar["n"]) for bar in bars] == [(1000 * start, 2 * len(week))]


def test_a_time_zone_is_for_whole_days(readers: Readers) -> None:
    for read in (readers.one, partial(readers.many, [4])):
        with pytest.raises(Problem, match=r"timezone: needs an interval of whole days, .* not 1h"):
            read(interval="1h", timezone=ZoneInfo("Asia/Kolkata"))


def test_filling_forward_ends_with_the_running_bucket(readers: Readers) -> None:
    readers.filled.bars(4, {RUNNING_S - 120: value(1)})
    for query in ({"start": 0, "end": NOW_MS * 2}, {"end": NOW_MS + 180_000}):
        found = readers.one(**query, fill="previous", limit=1000)
        assert [bar["t"] // 1000 - RUNNING_S for bar in found["bars"]] == [-120, -60, 0]
        assert found["next_page_token"] is None


def test_an_unknown_instrument_is_a_problem_on_every_way(readers: Readers) -> None:
    days = {"limit": 1000, "interval": "1d"}
    for query in ({}, days, {"start": 0}, {"page_token": Position(4, 0, of="1m")}):
        with pytest.raises(Problem, match="Instrument 4 has no quotes"):
            readers.one(**query)


def test_several_instruments_share_the_limit(readers: Readers) -> None:
    for instrument in (4, 5):
        readers.filled.bars(instrument, dense(60))
    found = readers.many([4, 5, 6], limit=7)
    window = Window.before(NOW_MS, MINUTE, 2)
    bars = expected(dense(60), window)
    assert found == {
        "interval": "1m",
        "bars": {"4": bars, "5": bars},
        "unknown": ["6"],
        "next_page_token": None,
    }


def test_a_limit_below_the_number_of_instruments_needs_a_start(readers: Readers) -> None:
    readers.filled.bars(4, dense(3))
    with pytest.raises(Problem, match="limit: must be 2 or more"):
        readers.many([4, 5], limit=1)
    assert len(readers.many([4, 5], limit=1, start=0)["bars"]["4"]) == 1


@pytest.mark.parametrize("sort", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 3, 7, 1000])
def test_pages_of_several_instruments_together_are_all_buckets(
    readers: Readers, limit: int, sort: str
) -> None:
    stored = {4: dense(7), 5: {RUNNING_S - 600: value(1)}, 8: dense(10)}
    for instrument, bars in stored.items():
        readers.filled.bars(instrument, bars)
    start = (RUNNING_S - 540) * 1000
    found: dict[str, list[Any]] = {}
    token, sizes = None, []
    while True:
        page = readers.many([4, 5, 7, 8], start=start, limit=limit, sort=sort, page_token=token)
        assert page["unknown"] == ["7"]
        sizes.append(sum(map(len, page["bars"].values())))
        for instrument, bars in page["bars"].items():
            found.setdefault(instrument, []).extend(bars)
        if page["next_page_token"] is None:
            break
        token = parse_token(page["next_page_token"])
    window = Window.between(start, NOW_MS, MINUTE)
    whole = {str(i): in_order(expected(stored[i], window), sort) for i in (4, 8)}
    assert found == whole
    assert all(size == limit for size in sizes[:-1])


def test_a_page_goes_on_with_the_interval_that_it_began_with(readers: Readers) -> None:
    """Of a longer one, the buckets up to its next beginning would be left out silently."""
    readers.filled.bars(4, dense(100))
    with pytest.raises(Problem, match="page_token: must be of an answer for the same instrument"):
        readers.one(page_token=Position(5, 0))
    of_one = readers.one(start=0, limit=1, interval="5m")["next_page_token"]
    of_many = readers.many([4], start=0, limit=1, interval="5m")["next_page_token"]
    for read, token in ((readers.one, of_one), (partial(readers.many, [4]), of_many)):
        assert read(page_token=parse_token(token), interval="5m")["bars"]
        for other in ("1m", "1h"):
            with pytest.raises(
                Problem, match=f"page_token: must be of an answer with interval={other}, not 5m"
            ):
                read(page_token=parse_token(token), interval=other)
        with pytest.raises(
            Problem, match="must be of an answer with interval=5m&sort=desc, not 5m"
        ):
            read(page_token=parse_token(token), interval="5m", sort="desc")


def test_a_page_ends_where_its_minutes_are_many(
    readers: Readers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MinuteReader.page, "__defaults__", ("asc", 150))
    for instrument in (4, 5):
        readers.filled.bars(instrument, dense(100))
    first = readers.many([4, 5], interval="5m")
    second = readers.many([4, 5], interval="5m", page_token=parse_token(first["next_page_token"]))
    window = Window.before(NOW_MS, parse_interval("5m"), 500)
    assert first["bars"]["4"] == expected(dense(100), window)
    assert first["bars"]["5"] + second["bars"]["5"] == expected(dense(100), window)
    assert second["next_page_token"] is None


def test_the_latest_quote_is_the_close_of_the_newest_bar(readers: Readers) -> None:
    readers.filled.bars(4, {RUNNING_S: value(1)})
    readers.filled.bars(5, {RUNNING_S - 60: value(2), RUNNING_S - 120: value(3)})
    readers.filled.bars(6, {RUNNING_S - 6000: value(4)})
    readers.filled.bars(7, {RUNNING_S + 240: value(5)})
    found = readers.run(readers.latest.quotes(asked([4, 5, 6, 7, 8], "XYZ")))
    assert found == {
        "quotes": {
            str(4 + n): {"price": value(number).c, "ts": 5} for n, number in enumerate((1, 2, 4, 5))
        },
        "unknown": ["XYZ", "8"],
    }


@pytest.mark.parametrize("ahead", [(), (60,), (60, 240)])
def test_a_snapshot_has_the_bars_around_now(readers: Readers, ahead: tuple[int, ...]) -> None:
    """However far the clocks of those who send quotes are ahead of the server's."""
    seconds = [DAY_S - 120, DAY_S, RUNNING_S - 60, RUNNING_S, *(RUNNING_S + s for s in ahead)]
    stored = {second: value(n) for n, second in enumerate(seconds, 1)}
    readers.filled.bars(4, stored)
    readers.filled.bars(5, {RUNNING_S - 3 * 86_400: value(5)})
    found = readers.run(readers.latest.snapshots(asked([4, 5, 6])))
    minutes = expected(stored, Window.before(NOW_MS, MINUTE, 2))
    days = expected(stored, Window.before(NOW_MS, DAY, 2))
    nothing = dict.fromkeys(("minute", "previous_minute", "day", "previous_day"))
    assert found == {
        "snapshots": {
            "4": {
                "quote": {"price": value(len(stored)).c, "ts": 5},
                "minute": minutes[1],
                "previous_minute": minutes[0],
                "day": days[1],
                "previous_day": days[0],
            },
            "5": {"quote": {"price": value(5).c, "ts": 5}, **nothing},
        },
        "unknown": ["6"],
    }


def test_the_day_of_a_snapshot_begins_at_midnight(store_url: str, filled: Filled) -> None:
    filled.bars(4, {DAY_S - 60: value(1)})
    store = Store(store_url, filled.keys.namespace, Metrics().store_errors)
    for late_ms, (day, previous_day) in enumerate([(1, 0), (0, 1), (0, 1)], -1):
        latest = LatestReader(store, lambda ms=late_ms: 1000 * DAY_S + ms)  # type: ignore[misc]
        found = json.loads(run(latest.snapshots(asked([4])), filled.store, filled).body)
        of_4 = found["snapshots"]["4"]
        assert (bool(of_4["day"]), bool(of_4["previous_day"])) == (bool(day), bool(previous_day))


def test_snapshots_of_too_many_minutes_are_refused_with_a_remedy(
    readers: Readers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.market.reading.MINUTES_OF_SNAPSHOTS", 3000)
    for instrument in (4, 5):
        readers.filled.bars(instrument, dense(2900))
    assert readers.run(readers.latest.snapshots(asked([4])))["snapshots"]["4"]["day"]
    with pytest.raises(Problem, match="ask for 1 at a time"):
        readers.run(readers.latest.snapshots(asked([4, 5])))


RETAINED: Final = 60
HOUR: Final = RUNNING_S // 3600 * 3600

WritePosition = Callable[..., None]


@pytest.fixture
def position(filled: Filled) -> WritePosition:
    """Write the workers' position of instrument 4's partition."""

    def write(**fields: str | int) -> None:
        key = filled.keys.position(QUOTES, instrument_partition(4, TOPOLOGY.quotes))
        folding = f'{{"bars_retention_minutes":{RETAINED}}}'
        filled.store.hset(key, mapping={FOLDING_FIELD: folding, **fields})

    return write


def partial_in(bars: list[dict[str, Any]]) -> list[int]:
    """Return the starts of the bars that say they are partial, epoch s; the others do not speak."""
    assert all(bar.get("partial", True) is True for bar in bars)
    return [bar["t"] // 1000 for bar in bars if "partial" in bar]


def test_a_bucket_that_begins_before_what_is_retained_is_partial_and_no_other(
    readers: Readers, position: WritePosition
) -> None:
    position()
    readers.filled.bars(4, dense(RETAINED))
    first = RUNNING_S - 60 * (RETAINED - 1)
    for query in ({}, {"start": 0}, {"fill": "previous"}, {"start": 0, "fill": "previous"}):
        hours = readers.one(interval="1h", limit=1000, **query)["bars"]
        assert partial_in(hours) == [HOUR - 3600 if first < HOUR else HOUR]
        assert [bar["closed"] for bar in hours][:1] == [True]
        assert partial_in(readers.one(interval="1d", limit=2, **query)["bars"]) == [DAY_S]
        assert partial_in(readers.one(interval="1m", limit=1000, **query)["bars"]) == []
    assert partial_in(readers.one(interval="5m", limit=5)["bars"]) == []
    snapshots = readers.run(readers.latest.snapshots(RequestedInstruments({4: "4"}, [])))
    found = snapshots["snapshots"]["4"]
    assert [name for name, part in found.items() if part and part.get("partial")] == ["day"]


@pytest.mark.parametrize(
    ("fields", "ages"),
    [
        ({WHOLE_FIELD: RUNNING_S - 60 * 10}, range(29, 10, -1)),
        ({WHOLE_FIELD: NOT_WHOLE_YET_S}, range(29, -1, -1)),  # until the first record after a loss
        ({}, ()),
    ],
)
def test_after_records_were_lost_what_lies_before_is_partial(
    readers: Readers, position: WritePosition, fields: dict[str, int], ages: Iterable[int]
) -> None:
    readers.filled.bars(4, dense(30))
    position(**fields)
    assert partial_in(readers.one(limit=30)["bars"]) == [RUNNING_S - 60 * age for age in ages]
