"""How the page handles answers that are late or follow a long absence, which no server sends."""

from typing import Any, Final

from playwright.async_api import Page

from .stack import Stack

LATE_READ: Final = """async () => {
  const { withHistory } = await import("/page/state/bars.js");
  const bar = (n, closed) => ({ t: 0, o: 1, h: 1, l: 1, c: 1, v: 1, n, vw: 1, closed });
  const kept = (held, read) => {
    const [{ n, closed }] = withHistory([bar(...held)], [bar(...read)]);
    return [n, closed];
  };
  return [
    kept([7, true], [5, false]),
    kept([7, true], [7, false]),
    kept([7, false], [7, true]),
    kept([5, true], [7, false]),
  ];
}"""
ABSENCE: Final = """async () => {
  const { createChartBars } = await import("/page/state/chart_bars.js");
  const minute = 60000;
  const bar = (t) => ({ t: t * minute, o: 1, h: 1, l: 1, c: 1, v: 1, n: 1, vw: 1, closed: true });
  let now = 10_000;
  Date.now = () => now * minute;
  const stored = [9_000, 9_900, 9_999];
  const read = async ({ limit, start, end = (now + 1) * minute }) => {
    const first = start ?? end - limit * minute;
    const found = stored.map(bar).filter(({ t }) => t >= first && t < end);
    return { bars: start === undefined ? found : found.slice(0, limit), next_page_token: null };
  };
  const chart = createChartBars("1m", read);
  const starts = () => chart.store.get().bars.map(({ t }) => t / minute);
  await chart.loadNewest();
  const before = starts();
  now = 10_700;
  stored.push(10_100, 10_300, 10_699);
  chart.take([bar(10_699)]);
  await chart.loadNewest();
  const after = starts();
  await chart.loadEarlier();
  return [before, after, starts()];
}"""
NIGHT: Final = """async () => {
  const { createChartBars } = await import("/page/state/chart_bars.js");
  const minute = 60000;
  const bar = (t) => ({ t: t * minute, o: 1, h: 1, l: 1, c: 1, v: 1, n: 1, vw: 1, closed: true });
  const now = 10_000, stored = [6_100, 6_300, 9_999], reads = [];
  Date.now = () => now * minute;
  const read = async ({ limit, start, end = (now + 1) * minute }) => {
    const first = start ?? end - Math.min(limit, 400) * minute;
    const found = stored.map(bar).filter(({ t }) => t >= first && t < end);
    reads.push(start === undefined ? "page" : "oldest");
    if (start !== undefined) return { bars: found.slice(0, limit), next_page_token: null };
    return { bars: found, next_page_token: null, continue_before: first };
  };
  const chart = createChartBars("1m", read);
  const starts = () => chart.store.get().bars.map(({ t }) => t / minute);
  await chart.loadNewest();
  reads.length = 0;
  await chart.loadEarlier();
  const { complete } = chart.store.get();
  return [starts(), complete, reads.filter((kind) => kind === "page").length];
}"""
BEGINNING: Final = """async () => {
  const { createChartBars } = await import("/page/state/chart_bars.js");
  const now = Date.now(), ends = [];
  const bar = { t: now - (now % 60000), o: 1, h: 1, l: 1, c: 1, v: 1, n: 1, vw: 1, closed: true };
  const read = async ({ start, end }) => {
    if (start !== undefined) return { bars: [], next_page_token: "further on" };
    if (end === undefined) return { bars: [bar], next_page_token: null };
    ends.push(end);
    return { bars: [], next_page_token: null };
  };
  const chart = createChartBars("1w", read);
  await chart.loadNewest();
  await chart.loadEarlier();
  return [chart.store.get().complete, ends.every((end) => end > 0)];
}"""
CHANGED: Final = """async () => {
  const { createChartBars } = await import("/page/state/chart_bars.js");
  const minute = 60000, ends = [];
  const bar = (t) => ({ t: t * minute, o: 1, h: 1, l: 1, c: 1, v: 1, n: 1, vw: 1, closed: true });
  const days = [80, 230]; // such as the API begins them in some time zone
  const read = async ({ end }) => {
    ends.push(Math.floor(end / minute));
    return { bars: [bar(days.findLast((start) => start * minute < end))], next_page_token: null };
  };
  const chart = createChartBars("1d", read);
  const changed = (...starts) => chart.take(starts.map(bar));
  await Promise.all([changed(90, 100, 229, 300, 299), changed(301, 302, 90)]);
  return ends;
}"""
TURNED_BACK: Final = """async () => {
  const { chooseZone, placeAfter } = await import("/page/state/zone.js");
  chooseZone("America/New_York");
  const places = [];
  for (const time of ["05:58", "05:59", "06:00", "06:01", "07:58"]) { // UTC; back at 06:00
    places.push(placeAfter(Date.parse(`2026-11-01T${time}:00Z`), places.at(-1) ?? -Infinity));
  }
  return places.map((place) => new Date(place * 1000).toISOString().slice(11, 19));
}"""
DIGITS: Final = """async () => {
  const { digitsOf } = await import("/page/state/format.js");
  return [[10.5], [0.12345], [1e-7], [1.5e-7], [1e-12], [1e21]].map(digitsOf);
}"""


async def result(page: Page, stack: Stack, code: str) -> Any:
    """Return what becomes of code that imports the page's modules."""
    await page.goto(f"{stack.url}")
    return await page.evaluate(code)


async def test_a_read_that_is_late_takes_nothing_back(page: Page, stack: Stack) -> None:
    kept = await result(page, stack, LATE_READ)
    assert kept == [[7, True], [7, True], [7, True], [7, False]]


async def test_after_a_long_absence_no_bars_are_missing_in_between(
    page: Page, stack: Stack
) -> None:
    before, after, scrolled = await result(page, stack, ABSENCE)
    assert before == [9_900, 9_999]
    assert after == [10_300, 10_699]
    assert scrolled == [9_900, 9_999, 10_100, 10_300, 10_699]


async def test_pages_without_bars_are_passed_over(page: Page, stack: Stack) -> None:
    starts, complete, pages = await result(page, stack, NIGHT)
    # ten pages of the 400 minutes that are read of each 500: from 9,999 to 5,999
    assert (starts, complete, pages) == ([6_100, 6_300, 9_999], True, 10)


async def test_nothing_is_looked_for_before_the_epoch(page: Page, stack: Stack) -> None:
    assert await result(page, stack, BEGINNING) == [True, True]


async def test_bars_of_changed_minutes_are_read_once_each(page: Page, stack: Stack) -> None:
    assert await result(page, stack, CHANGED) == [300, 229, 302, 90]


async def test_places_of_an_axis_are_local_and_ascend_where_clocks_are_turned_back(
    page: Page, stack: Stack
) -> None:
    places = await result(page, stack, TURNED_BACK)
    assert places == ["01:58:00", "01:59:00", "01:59:01", "01:59:02", "02:58:00"]


async def test_prices_have_the_digits_that_they_need(page: Page, stack: Stack) -> None:
    assert await result(page, stack, DIGITS) == [2, 5, 7, 8, 8, 2]
