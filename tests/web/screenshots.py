"""Takes the pictures of the page for `docs/images`: `python -m tests.web.screenshots`.

It runs a stack of its own with the simulator, lets it gather some minutes of quotes and events, and
takes each view in both themes. Every view that the page's navigation has is there.
"""

import argparse
import re
from pathlib import Path
from typing import Final, Literal

from playwright.sync_api import Browser, Page, expect, sync_playwright

from infra.local.asking import await_subjects, connect_api
from infra.local.paths import HOME, PROJECT
from infra.local.requests import Subjects
from infra.local.run import Running, running_stack
from infra.local.stack import Options

from .conftest import CHROMIUM

IMAGES: Final = PROJECT / "docs/images"
THEMES: Final[tuple[Literal["light", "dark"], ...]] = ("light", "dark")
MOST_BYTES: Final = 300_000
MINUTES: Final = 2.0
"""Bars are back-filled; generations come every minute."""
SETTLED_MS: Final = 4_000
"""Until answers that are asked for in intervals have come and what moves has moved."""


def take(minutes: float) -> None:
    """Start a stack, wait, take all pictures, stop it."""
    folder = HOME / "screenshots"
    with running_stack(folder, Options(api_port=0), lambda *_: None) as running:
        stack = running.stack
        with connect_api(stack.api_url) as api:
            subjects = await_subjects(running.pause, api, str(folder))
        print(f"{stack.api_url} gathers data for {minutes:g} minutes", flush=True)
        running.pause(60 * minutes)
        take_all(running, subjects)


def take_all(running: Running, subjects: Subjects) -> None:
    """Take each view in both themes."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        for theme in THEMES:
            page = opened(browser, running.stack.api_url, theme)
            for view in views(page):
                show(page, running.stack.api_url, view, subjects)
                running.tick()
                save(page, IMAGES / f"{view}-{theme}.png")
        browser.close()


def opened(browser: Browser, url: str, theme: Literal["light", "dark"]) -> Page:
    size = {"width": 1280, "height": 800}
    page = browser.new_page(color_scheme=theme, viewport=size)  # type: ignore[arg-type]
    page.goto(url)
    expect(page.get_by_role("navigation").get_by_role("link").first).to_be_visible()
    return page


def views(page: Page) -> list[str]:
    """Return the names of the views that the navigation has."""
    links = page.get_by_role("navigation").get_by_role("link").all()
    found = [re.match(r"#/(\w+)", link.get_attribute("href") or "") for link in links]
    return [match[1] for match in found if match]


def show(page: Page, url: str, view: str, subjects: Subjects) -> None:
    """Go to a view, of what there is most to see of, and wait until it is whole."""
    subject = {"markets": f"/{subjects.instrument_id}", "user": f"/{subjects.user_id}"}.get(
        view, ""
    )
    page.goto(f"{url}/#/{view}{subject}")
    expect(page.locator("main .panel").first).to_be_visible()
    page.wait_for_timeout(SETTLED_MS)


def save(page: Page, path: Path) -> None:
    """Write a picture of what is seen.

    Raises:
        ValueError: it has more than `MOST_BYTES`.
    """
    picture = page.screenshot()
    if len(picture) > MOST_BYTES:
        raise ValueError(f"{path.name} has {len(picture)} bytes, more than {MOST_BYTES}")
    path.write_bytes(picture)
    print(f"{path.relative_to(PROJECT)}  {len(picture) // 1000} kB", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=MINUTES, help="of data to gather first")
    take(parser.parse_args().minutes)
