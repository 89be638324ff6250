"""Measures the page's memory over an hour of live candles: `python -m tests.web.memory`.

It runs a stack of its own with the simulator. The page's clock runs faster than the system's, so
that polls, pauses and rendering of an hour take some minutes; bars arrive as the stack sends them.
Each line shows what is left after garbage collection.
"""

import argparse
from collections.abc import Iterator
from typing import Final

from playwright.sync_api import CDPSession, Page, sync_playwright

from infra.local.asking import await_subjects, connect_api
from infra.local.paths import HOME
from infra.local.requests import Subjects
from infra.local.run import Running, running_stack
from infra.local.stack import Options

from .conftest import CHROMIUM
from .screenshots import opened, show, views

MINUTES: Final = 60
SPEED: Final = 10
STEP_MINUTES: Final = 5
TOURS: Final = 10


def measure(minutes: int, speed: int, tours: int) -> None:
    """Start a stack, open the page, print what it takes, stop the stack."""
    folder = HOME / "memory"
    with (
        running_stack(folder, Options(api_port=0), lambda *_: None) as running,
        connect_api(running.stack.api_url) as api,
        sync_playwright() as playwright,
    ):
        subjects = await_subjects(running.pause, api, str(folder))
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        page = opened(browser, running.stack.api_url, "light")
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        session = page.context.new_cdp_session(page)
        page.clock.install()
        print("event            heap kB  nodes  listeners", flush=True)
        for line in _events(running, page, subjects, minutes, speed, tours):
            print(f"{line:<15} {_taken(session, page)}", flush=True)
        browser.close()
        print(f"{len(errors)} errors", *errors, sep="\n")


def _events(
    running: Running, page: Page, subjects: Subjects, minutes: int, speed: int, tours: int
) -> Iterator[str]:
    """Yield after each part of the run."""
    url = running.stack.api_url
    show(page, url, "markets", subjects)
    page.clock.run_for(10_000)
    yield "0 min"
    for passed in range(STEP_MINUTES, minutes + 1, STEP_MINUTES):
        for _ in range(STEP_MINUTES * 60 // speed):
            running.pause(1)
            page.clock.run_for((speed - 1) * 1000)
        yield f"{passed} min"
    for tour in range(1, tours + 1):
        for view in (*views(page), "markets"):
            show(page, url, view, subjects)
            running.tick()
        yield f"tour {tour}"


def _taken(session: CDPSession, page: Page) -> str:
    """Return what the page takes after a collection."""
    for _ in range(2):  # finalizers of the first run free more
        session.send("HeapProfiler.collectGarbage")
    heap = session.send("Runtime.getHeapUsage")["usedSize"]
    counts = session.send("Memory.getDOMCounters")

    return f"{heap / 1000:>8.0f} {counts['nodes']:>6} {counts['jsEventListeners']:>10}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=int, default=MINUTES, help="of the page's clock")
    parser.add_argument("--speed", type=int, default=SPEED, help="of the page's clock")
    parser.add_argument("--tours", type=int, default=TOURS, help="of all views, after that")
    measure(**vars(parser.parse_args()))
