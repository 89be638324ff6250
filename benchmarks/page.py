"""The page in a browser, on loopback, while the instruments that it lists are quoted.

Hypothesis: the first view takes 200 kB and a second to the first candle; while 100 instruments
stream, nothing holds the browser's main thread for 50 ms; left open, the page does not grow; and a
quote is in its candle within 2 s.

Work: a worker, an API and Debian's Chromium, without a screen, share the machine with broker and
store. Each of 100 described instruments has bars of four hours and quotes once a second; the list
and the chart follow. The view is loaded in new profiles, whose caches are empty. The bytes are
those that the network carried, headers and answers of the API included, until two seconds after the
first candle was drawn. The heap is looked at after a collection: once the page has settled, and at
the end. Then quotes of one more instrument are timed, from when each goes to the broker until the
row of its candle shows it.

Baseline: the clock.
"""

import json as js
import shutil
import statistics
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Final

import httpx
import msgspec
import typer
from playwright.sync_api import Browser, CDPSession, Page, sync_playwright

from benchmarks.bars import make_quotes
from benchmarks.harness import session
from benchmarks.harness.child import child, meet, meeting
from benchmarks.harness.contender import ContenderError, awaited
from benchmarks.harness.publish import connected, produce, record
from benchmarks.harness.publish import publish as publish_all
from benchmarks.harness.report import Report, computer, rounded
from benchmarks.harness.stage import Stage
from benchmarks.harness.workers import await_shared, running_workers
from benchmarks.keepup.publisher import Load, publish
from contracts.messages import Quote
from contracts.topics import QUOTES

_INSTRUMENTS: Final = 100
_TIMED: Final = 100
"""An instrument that nothing else quotes."""
_TIMED_QUOTES: Final = 10
_HISTORY_MINUTES: Final = 240
_LOADS: Final = 5
_REST_MS: Final = 2_000
_SETTLED_MS: Final = 10_000
_TRACE_MS: Final = 30_000
_SPARE_S: Final = 60
_END_WITHIN_S: Final = 120
_MAIN_THREAD: Final = "CrRendererMain"
_TRACED: Final = ["toplevel", "disabled-by-default-devtools.timeline", "__metadata"]
_MOST_KB: Final = 200
_MOST_FIRST_S: Final = 1.0
_MOST_TASK_MS: Final = 50
_MOST_GROWTH: Final = 0.1
_MOST_QUOTE_S: Final = 2.0
# Candles alone are filled with these colors; the frame that has the first one comes next.
_NOTE_FIRST_CANDLE: Final = """
let drawn;
window.firstCandleMs = new Promise((resolve, reject) => {
  drawn = resolve;
  setTimeout(() => reject(new Error("no candle was drawn in 30 s")), 30000);
});
const drawing = CanvasRenderingContext2D.prototype, fillRect = drawing.fillRect;
const scratch = document.createElement("canvas").getContext("2d");
const named = (name) => {
  scratch.fillStyle = getComputedStyle(document.documentElement).getPropertyValue(name);
  return scratch.fillStyle;
};
drawing.fillRect = function (...rect) {
  fillRect.apply(this, rect);
  if (this.fillStyle !== named("--up") && this.fillStyle !== named("--down")) return;
  drawing.fillRect = fillRect;
  requestAnimationFrame(() => drawn(performance.now()));
};
"""


@dataclass(frozen=True, slots=True)
class FirstView:
    """One load of the first view."""

    kb: float
    first_candle_s: float


@dataclass(frozen=True, slots=True)
class Memory:
    """What the page holds after a collection."""

    heap_mb: float
    nodes: int


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
    namespace, start = stage.anew(), meeting(of=2)
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
        before = memory(left_open)
        tasks = longest_task_ms(browser, left_open)
        left_open.wait_for_timeout(max(0.0, 60_000 * minutes - _TRACE_MS))
        after = memory(left_open)
        quotes = quote_to_candle_s(left_open, url, stage.broker.address)
        product = f"Chromium {browser.version}"
        browser.close()
        if publisher.result(_END_WITHIN_S).failed:
            raise ContenderError("not all quotes were taken")
    return _report(loads, tasks, before, after, quotes, minutes, (product, *stage.servers))


def first_view(browser: Browser, url: str) -> FirstView:
    """Load the page into a new profile."""
    context = browser.new_context()
    opened = context.new_page()
    opened.add_init_script(_NOTE_FIRST_CANDLE)
    network = context.new_cdp_session(opened)
    received = _receiving(network)
    opened.goto(url)
    drawn = opened.evaluate("window.firstCandleMs")
    opened.wait_for_timeout(_REST_MS)
    context.close()
    return FirstView(sum(received.values()) / 1000, drawn / 1000)


def _receiving(network: CDPSession) -> Mapping[str, int]:
    """Return the bytes that each request has brought, which goes on to be filled."""
    received: dict[str, int] = {}

    def came(event: dict[str, Any]) -> None:
        its = event["requestId"]
        received[its] = received.get(its, 0) + event["encodedDataLength"]

    def whole(event: dict[str, Any]) -> None:
        received[event["requestId"]] = event["encodedDataLength"]

    network.on("Network.responseReceived", lambda event: came({**event, **event["response"]}))
    network.on("Network.dataReceived", came)
    network.on("Network.loadingFinished", whole)
    network.send("Network.enable")
    return received


def longest_task_ms(browser: Browser, opened: Page) -> tuple[float, float]:
    """Return the longest task of the main thread, by the clock and by its CPU time, in ms."""
    browser.start_tracing(page=opened, categories=_TRACED)
    opened.wait_for_timeout(_TRACE_MS)
    events = js.loads(browser.stop_tracing())["traceEvents"]
    threads = {
        (event["pid"], event["tid"])
        for event in events
        if event["name"] == "thread_name" and event["args"]["name"] == _MAIN_THREAD
    }
    tasks = [
        (event["dur"] / 1000, event.get("tdur", 0) / 1000)
        for event in events
        if event["name"].endswith("RunTask")
        and "dur" in event
        and (event["pid"], event["tid"]) in threads
    ]
    if not tasks:
        raise ContenderError("the trace has no task of the page")
    return max(clock for clock, _ in tasks), max(cpu for _, cpu in tasks)


def memory(opened: Page) -> Memory:
    """Return what the page holds, once what it has let go is collected."""
    browser = opened.context.new_cdp_session(opened)
    browser.send("Performance.enable")
    browser.send("HeapProfiler.collectGarbage")
    told = browser.send("Performance.getMetrics")["metrics"]
    browser.detach()
    figures = {one["name"]: one["value"] for one in told}
    return Memory(figures["JSHeapUsedSize"] / 1e6, int(figures["Nodes"]))


def quote_to_candle_s(opened: Page, url: str, bootstrap_servers: str) -> list[float]:
    """Return how long each quote took from the producer to the candle, in s."""
    opened.goto(f"{url}/#/markets/{_TIMED}")
    opened.get_by_role("button", name="Table").click()
    took = []
    producer = connected(bootstrap_servers, **{"linger.ms": 0})
    for n in range(_TIMED_QUOTES + 1):
        price = 10.25 + n
        quote = Quote(instrument_id=_TIMED, price=price, ts=round(time.time() * 1000))
        began = time.monotonic()
        produce(producer, QUOTES.name, *record(quote))
        producer.flush()
        opened.locator("tr[data-t] .trend").get_by_text(f"{price:.2f}", exact=True).wait_for()
        took.append(time.monotonic() - began)
    return took[1:]  # the first one finds no table


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
    before: Memory,
    after: Memory,
    quotes: list[float],
    minutes: float,
    products: tuple[str, ...],
) -> Report:
    kb, (clock_ms, cpu_ms) = max(load.kb for load in loads), tasks
    first = [load.first_candle_s for load in loads]
    first_s = statistics.median(first)
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
        "before": rounded(asdict(before)),
        "after": rounded(asdict(after)),
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
            f"longest task in {_TRACE_MS // 1000} s {clock_ms:.1f} ms, by CPU time {cpu_ms:.1f} ms",
            f"{_MOST_TASK_MS} ms",
            clock_ms <= _MOST_TASK_MS,
        ),
        _judged(
            f"heap {before.heap_mb:.1f} to {after.heap_mb:.1f} MB, "
            f"DOM nodes {before.nodes:,} to {after.nodes:,}",
            f"{_MOST_GROWTH:.0%} more",
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
