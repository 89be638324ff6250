"""The command `page`: the stage, the measurements, and the report."""

import shutil
import statistics
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated, Final

import httpx
import msgspec
import typer
from playwright.sync_api import sync_playwright

from benchmarks.bars import make_quotes
from benchmarks.harness import session
from benchmarks.harness.child import child, meet, meeting
from benchmarks.harness.contender import ContenderError, awaited
from benchmarks.harness.publish import publish as publish_all
from benchmarks.harness.publish import record
from benchmarks.harness.report import Report, computer, rounded
from benchmarks.harness.stage import Stage
from benchmarks.harness.workers import await_shared, running_workers
from benchmarks.keepup.publisher import Load, publish
from benchmarks.page.browser import (
    TRACE_MS,
    FirstView,
    Memory,
    first_view,
    longest_task_ms,
    memory,
    quote_to_candle_s,
)
from contracts.messages import Quote
from contracts.topics import QUOTES

_INSTRUMENTS: Final = 100
_TIMED: Final = 100
"""An instrument that nothing else quotes."""
_HISTORY_MINUTES: Final = 240
_LOADS: Final = 5
_SETTLED_MS: Final = 10_000
_SPARE_S: Final = 120
_LOOKS: Final = 10
_END_WITHIN_S: Final = 120
_MOST_KB: Final = 200
_MOST_FIRST_S: Final = 1.0
_MOST_TASK_MS: Final = 50
_MOST_GROWTH: Final = 0.1
_MOST_QUOTE_S: Final = 2.0


def page(
    minutes: Annotated[float, typer.Option(min=1, help="that the page stays open")] = 5,
    *,
    json: session.Json = False,
) -> None:
    """The page in a browser: bytes, first candle, longest task, memory."""
    with session.on_stage() as stage:
        session.present(measure(stage, minutes), json=json)


def measure(stage: Stage, minutes: float) -> Report:
    """Load the page some times, and then leave it open.

    Raises:
        ContenderError: there is no browser, or a process failed.
    """
    chromium = shutil.which("chromium")
    if chromium is None:
        raise ContenderError("there is no browser: apt-get install chromium")
    namespace, start = stage.fresh_namespace(), meeting(of=2)
    load = Load(60 * minutes + _SPARE_S, 1, _INSTRUMENTS, _INSTRUMENTS, events_per_s=1)
    with (
        running_workers(stage, namespace, 1) as workers,
        stage.api(namespace) as (_, port),
        sync_playwright() as playwright,
        child(start, publish, stage.broker.address, load, frozenset()) as publisher,
    ):
        await_shared(workers, namespace.topology)
        url = f"http://127.0.0.1:{port}"
        publish_all(stage.broker.address, QUOTES.name, map(record, _history()))
        _describe(url)
        meet(start)
        browser = playwright.chromium.launch(executable_path=chromium)
        loads = [first_view(browser, url) for _ in range(_LOADS)]
        left_open = browser.new_page()
        left_open.goto(url)
        left_open.wait_for_timeout(_SETTLED_MS)
        looks = [memory(left_open)]
        tasks = longest_task_ms(browser, left_open)
        for _ in range(_LOOKS):
            left_open.wait_for_timeout(60_000 * minutes / _LOOKS)
            looks.append(memory(left_open))
        quotes = quote_to_candle_s(left_open, url, _TIMED, stage.broker.address)
        product = f"Chromium {browser.version}"
        browser.close()
        if publisher.result(_END_WITHIN_S).failed:
            raise ContenderError("not all quotes were taken")
    return _report(loads, tasks, looks, quotes, minutes, (product, *stage.servers))


def _history() -> Iterator[Quote]:
    """Return a quote of each instrument for each of the last minutes but one."""
    quotes = make_quotes(_HISTORY_MINUTES * _INSTRUMENTS, _INSTRUMENTS)
    for place, quote in enumerate(quotes):
        ago = _HISTORY_MINUTES - place // _INSTRUMENTS
        yield msgspec.structs.replace(quote, ts=quote.ts // 60_000 * 60_000 - ago * 60_000)


def _describe(url: str) -> None:
    """Put all instruments into the catalog, and return once it lists them."""
    with httpx.Client(base_url=url, timeout=30) as client:
        for instrument in (*range(_INSTRUMENTS), _TIMED):
            described = {"symbol": f"I{instrument:03}", "name": f"Instrument {instrument} plc"}
            client.put(f"/v1/instruments/{instrument}", json=described).raise_for_status()

        def listed() -> bool | None:
            found = client.get("/v1/instruments", params={"n": _INSTRUMENTS, "listed": True})
            return len(found.raise_for_status().json()["items"]) == _INSTRUMENTS or None

        awaited(listed, "describing the instruments")


def _report(
    loads: list[FirstView],
    tasks: tuple[float, float],
    looks: list[Memory],
    quotes: list[float],
    minutes: float,
    products: tuple[str, ...],
) -> Report:
    kb, (clock_ms, cpu_ms) = max(load.kb for load in loads), tasks
    first = [load.first_candle_s for load in loads]
    first_s = statistics.median(first)
    before, after = looks[1], looks[-1]  # by the first tenth the code that runs is compiled
    heap, nodes = after.heap_mb / before.heap_mb - 1, after.nodes / before.nodes - 1
    work = f"{_INSTRUMENTS} instruments quote once a second, the page open for {minutes:g} min"
    figures = {
        "name": "page",
        "work": work,
        "value": round(first_s, 3),
        "unit": "s to the first candle",
        "baseline": None,
        "ratio": None,
        "first_s": [round(one, 3) for one in first],
        "kb": round(kb, 1),
        "longest_task_ms": round(clock_ms, 1),
        "longest_task_cpu_ms": round(cpu_ms, 1),
        "looks": [rounded(asdict(look)) for look in looks],
        "quote_to_candle_s": [round(one, 3) for one in quotes],
        "on": products,
    }
    printed = (
        f"[bold]{work}[/]",
        _judged(f"first view {kb:.0f} kB over the wire", f"{_MOST_KB} kB", kb <= _MOST_KB),
        _judged(
            f"first candle after {first_s:.2f} s "
            f"({min(first):.2f} .. {max(first):.2f} in {len(first)} loads)",
            f"{_MOST_FIRST_S:g} s",
            first_s <= _MOST_FIRST_S,
        ),
        _judged(
            f"longest task in {TRACE_MS // 1000} s {clock_ms:.1f} ms, by CPU time {cpu_ms:.1f} ms",
            f"{_MOST_TASK_MS} ms",
            clock_ms <= _MOST_TASK_MS,
        ),
        _judged(
            "heap " + ", ".join(f"{look.heap_mb:.1f}" for look in looks) + " MB, "
            f"DOM nodes {before.nodes:,} to {after.nodes:,}",
            f"{_MOST_GROWTH:.0%} more than after a tenth of the time",
            max(heap, nodes) <= _MOST_GROWTH,
        ),
        _judged(
            f"quote in its candle after {statistics.median(quotes):.2f} s, "
            f"at most {max(quotes):.2f} s of {len(quotes)}",
            f"{_MOST_QUOTE_S:g} s",
            max(quotes) <= _MOST_QUOTE_S,
        ),
        f"[dim]{computer()}, {', '.join(products)}[/]",
    )
    return Report([figures], printed)


def _judged(said: str, most: str, holds: bool) -> str:  # noqa: FBT001
    return f"[{'green' if holds else 'red'}]{said}[/] (at most {most})"
