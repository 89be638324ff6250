"""What a browser measures of the page."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from playwright.sync_api import Browser, CDPSession, Page

from benchmarks.harness.contender import ContenderError
from benchmarks.harness.publish import connected, produce, record
from contracts.messages import Quote
from contracts.topics import QUOTES

TRACE_MS: Final = 30_000
_REST_MS: Final = 2_000
_TIMED_QUOTES: Final = 10
_MAIN_THREAD: Final = "CrRendererMain"
_TRACED: Final = ["toplevel", "disabled-by-default-devtools.timeline", "__metadata"]
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
    opened.wait_for_timeout(TRACE_MS)
    events = json.loads(browser.stop_tracing())["traceEvents"]
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
    metrics = browser.send("Performance.getMetrics")["metrics"]
    browser.detach()
    figures = {one["name"]: one["value"] for one in metrics}
    return Memory(figures["JSHeapUsedSize"] / 1e6, int(figures["Nodes"]))


def quote_to_candle_s(
    opened: Page, url: str, instrument_id: int, bootstrap_servers: str
) -> list[float]:
    """Return how long each quote took to its candle, s; nothing else may quote the instrument."""
    opened.goto(f"{url}/#/markets/{instrument_id}")
    opened.get_by_role("button", name="Table").click()
    took = []
    producer = connected(bootstrap_servers, **{"linger.ms": 0})
    for n in range(_TIMED_QUOTES + 1):
        price = 10.25 + n
        quote = Quote(instrument_id=instrument_id, price=price, ts=round(time.time() * 1000))
        began = time.monotonic()
        produce(producer, QUOTES.name, *record(quote))
        producer.flush()
        opened.locator("tr[data-t] .trend").get_by_text(f"{price:.2f}", exact=True).wait_for()
        took.append(time.monotonic() - began)
    return took[1:]  # the first one finds no table
