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


async def result(page: Page, stack: Stack, code: str) -> Any:
    await page.goto(f"{stack.url}")
    return await page.evaluate(code)


async def test_a_read_that_is_late_takes_nothing_back(page: Page, stack: Stack) -> None:
    kept = await result(page, stack, LATE_READ)
    assert kept == [[7, True], [7, True], [7, True], [7, False]]


async def test_after_a_long_absence_no_bars_are_missing(page: Page, stack: Stack) -> None:
    before, after, scrolled = await result(page, stack, ABSENCE)
    assert before == [9_900, 9_999]
    assert after == [10_300, 10_699]
    assert scrolled == [9_900, 9_999, 10_100, 10_300, 10_699]
