"""The view `markets` in a real browser, on a worker and an API."""

import re

import httpx
import pytest
from playwright.async_api import Locator, Page, expect

from contracts.instruments import Instrument, encode_instrument, instrument_key
from contracts.topics import INSTRUMENTS
from tests.integration.conftest import eventually
from tests.patience import PATIENCE_S

from .accessible import assert_accessible
from .stack import MINUTE_MS, Stack, minute_ms

SUCA, EVIL, OTHER = 4, 5, 6
CROWD = range(1_000, 51_000)
SCRIPT = "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"


@pytest.fixture(scope="module", autouse=True)
def seeded(stack: Stack) -> int:
    """Fill in three instruments and 50,000 others; return the start of the minute of then.

    The first has quotes of the minutes before, and is like the other two.
    """
    now = minute_ms()
    stack.describe(SUCA, "SUCA", "Suca Financial Corp.", categories=["financials"])
    stack.describe(EVIL, "EVIL", SCRIPT)
    stack.describe(OTHER, "OTHR", "Another Corp.")
    for ago in (9, 8, 5, 4):
        stack.quote(SUCA, 10.0 + ago, now - ago * MINUTE_MS + 1000)
    stack.model.generation(
        "20261126T100000Z-1", {str(SUCA): [(str(EVIL), 0.5, 7.0), (str(OTHER), 0.25, 3.0)]}
    )
    crowd = (Instrument(n, symbol=f"Z{n}", name=f"Another of many {n} plc") for n in CROWD)
    stack.pipeline.publish_raw(
        (INSTRUMENTS.name, instrument_key(it.instrument_id), encode_instrument(it), None)
        for it in crowd
    )
    stack.pipeline.wait_until_folded()
    with httpx.Client(base_url=stack.url, timeout=PATIENCE_S) as client:
        eventually(
            lambda: all(client.get(f"/v1/instruments/{n}").is_success for n in CROWD[-4:]),
            "the last of all partitions are in the catalog",
        )
    return now


async def show(page: Page, stack: Stack, place: str = f"markets/{SUCA}") -> None:
    """Open the page at a place, with the table of bars, and return when it is live."""
    await page.goto(f"{stack.url}/#/{place}")
    await page.get_by_role("button", name="Table").click()
    await expect(page.locator("table caption")).to_be_visible()


def bar(page: Page, minute: int) -> Locator:
    """Return the row of the bar that starts then, in epoch ms."""
    return page.locator(f'tr[data-t="{minute}"]')


async def test_it_shows_the_bars_the_name_and_what_is_similar(
    page: Page, stack: Stack, seeded: int
) -> None:
    await show(page, stack)
    await expect(page.get_by_role("heading", level=1)).to_have_text("SUCA")
    await expect(page).to_have_title(re.compile("Markets"))
    await expect(bar(page, seeded - 9 * MINUTE_MS)).to_contain_text("19.00")
    await expect(page.locator(".chart canvas").first).to_be_visible()
    similar = page.get_by_role("region", name="Similar").locator("tbody tr")
    await expect(similar).to_have_count(2)
    await expect(similar.first).to_contain_text(re.compile("EVIL.*0.500.*7"))
    await expect(page.get_by_role("link", name="TradingView")).to_be_visible()


async def test_a_quote_that_is_published_moves_the_candle(page: Page, stack: Stack) -> None:
    await show(page, stack)
    await expect(page.locator("tbody tr[data-t]").first).to_be_visible()
    minute = minute_ms()
    stack.quote(SUCA, 31.25, minute + 1)
    await expect(bar(page, minute)).to_contain_text("31.25")
    await expect(page.locator(".standing .last")).to_have_text("31.25")
    in_the_list = page.get_by_role("list", name="Found").get_by_role("link", name="SUCA")
    await expect(in_the_list).to_contain_text("31.25")


async def test_a_late_quote_revises_the_bar_of_its_own_minute(
    page: Page, stack: Stack, seeded: int
) -> None:
    await show(page, stack)
    minute, before = seeded - 4 * MINUTE_MS, seeded - 5 * MINUTE_MS
    stack.quote(SUCA, 14.0, minute + 2000)
    await expect(bar(page, minute)).to_contain_text("14.00")
    untouched = await bar(page, before).inner_text()
    stack.quote(SUCA, 44.5, minute + 3000)
    await expect(bar(page, minute)).to_contain_text("44.50")
    assert await bar(page, before).inner_text() == untouched


async def test_a_late_quote_fills_a_gap(page: Page, stack: Stack, seeded: int) -> None:
    await show(page, stack)
    minute = seeded - 3 * MINUTE_MS
    stack.quote(SUCA, 14.5, minute + MINUTE_MS + 1)
    await expect(bar(page, minute + MINUTE_MS)).to_contain_text("14.50")
    stack.quote(SUCA, 15.5, minute + 1)
    await expect(bar(page, minute)).to_contain_text("15.50")
    starts = await page.locator("tr[data-t]").evaluate_all("rows => rows.map(r => +r.dataset.t)")
    assert starts == sorted(starts, reverse=True)


async def test_a_longer_interval_follows_its_minutes(page: Page, stack: Stack) -> None:
    await show(page, stack, f"markets/{SUCA}?interval=1h")
    await expect(page.get_by_role("link", name="1h", exact=True)).to_have_attribute(
        "aria-current", "true"
    )
    newest = page.locator("tbody tr[data-t]").first
    await expect(newest).to_be_visible()
    stack.quote(SUCA, 77.75, minute_ms() + 2)
    await expect(newest).to_contain_text("77.75")


async def test_search_finds_by_symbol_and_by_name(page: Page, stack: Stack) -> None:
    await page.goto(stack.url)
    found = page.get_by_role("list", name="Found").get_by_role("listitem")
    await expect(found).to_have_count(50)
    search = page.get_by_role("searchbox")
    await search.press_sequentially("fin")
    await expect(found).to_have_count(1)
    await search.fill("oth")
    await expect(found).to_contain_text(["Another Corp."])
    await found.get_by_role("link").press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("OTHR")
    await search.fill("nothing of that name")
    await expect(page.get_by_text("No instrument has such a symbol or name.")).to_be_visible()


async def test_of_50_000_instruments_it_lists_as_many_as_one_can_read(
    page: Page, stack: Stack
) -> None:
    await page.goto(stack.url)
    found = page.get_by_role("list", name="Found").get_by_role("listitem")
    for n in (50, 200, 800):
        await expect(found).to_have_count(n)
        await page.get_by_role("button", name="More").click()
    await expect(found).to_have_count(1000)
    await expect(page.get_by_text("These are the first 1000: search for others.")).to_be_visible()
    await expect(page.get_by_role("button", name="More")).to_be_hidden()
    await page.get_by_role("searchbox").fill(f"z{CROWD[-1]}")
    await expect(found).to_have_count(1)
    await found.get_by_role("link").press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text(f"Z{CROWD[-1]}")


async def test_a_name_is_text_whatever_stands_in_it(page: Page, stack: Stack) -> None:
    await show(page, stack, f"markets/{EVIL}")
    await expect(page.locator(".prices .name")).to_have_text(SCRIPT)
    await expect(page).to_have_title(re.compile("Markets"))
    assert await page.locator("main script, main img").count() == 0


async def test_what_was_never_seen_is_said_to_be_so(page: Page, stack: Stack) -> None:
    await show(page, stack, "markets/987")
    await expect(page.get_by_role("alert").first).to_contain_text("987")


async def test_axe_finds_nothing_serious(page: Page, stack: Stack) -> None:
    await show(page, stack)
    await expect(page.locator("tbody tr[data-t]").first).to_be_visible()
    await expect(page.get_by_role("region", name="Similar").locator("tbody tr")).to_have_count(2)
    await assert_accessible(page)
    await page.get_by_role("button", name="API key").click()
    await assert_accessible(page)


@pytest.mark.parametrize("width", [1440, 1000, 390, 320])
async def test_nothing_is_wider_than_the_window(page: Page, stack: Stack, width: int) -> None:
    await page.set_viewport_size({"width": width, "height": 800})
    await show(page, stack, f"markets/{EVIL}")
    assert await page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


async def test_the_theme_is_the_systems_until_another_is_chosen(page: Page, stack: Stack) -> None:
    await page.emulate_media(color_scheme="dark")
    await page.goto(stack.url)
    root = page.locator("html")
    await expect(root).to_have_attribute("data-theme", "dark")
    await page.emulate_media(color_scheme="light")
    await expect(root).to_have_attribute("data-theme", "light")
    await page.get_by_role("button", name="Dark").click()
    await page.reload()
    await expect(root).to_have_attribute("data-theme", "dark")
