"""The view `markets` in a real browser, on a worker and an API."""

import re
import time
from datetime import datetime
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import pytest
from playwright.async_api import Locator, Page, expect

from contracts.instruments import Instrument
from runtime.archive.config import ArchiveConfig
from tests.api.archive.market import Quote, append, row, table_of

from .accessible import assert_accessible, assert_fits
from .seeds import EVIL, HUGE, OTHER, SCRIPT, SUCA, seed
from .stack import MINUTE_MS, Stack, minute_ms

CROWD = range(1_000, 1_060)
RISEN, FALLEN = 21, 22


@pytest.fixture(scope="module", autouse=True)
def seeded(stack: Stack) -> int:
    """Fill in more instruments than are listed, and minutes; return the start of this one."""
    now = minute_ms()
    for ago in (9, 8, 5, 4):
        stack.quote(SUCA, 10.0 + ago, now - ago * MINUTE_MS + 1000)
    stack.describe(*(Instrument(n, symbol=f"Z{n}", name=f"Another of many {n} plc") for n in CROWD))
    stack.describe(
        Instrument(RISEN, symbol="AAUP", name="Risen plc"),
        Instrument(FALLEN, symbol="AADN", name="Fallen plc"),
    )
    for ago in range(8):
        ts = minute_ms(ago) + 1000
        stack.quote(RISEN, 12.0 - ago / 4, ts)
        stack.quote(FALLEN, 8.0 + ago / 4, ts, size=50.0)
    seed(stack)
    return now


async def show(page: Page, stack: Stack, place: str = f"markets/{SUCA}") -> None:
    """Open the page at a place, with the table of bars, and return when it is live."""
    await page.goto(f"{stack.url}/#/{place}")
    await page.get_by_role("button", name="Table").click()
    await expect(page.locator(".prices caption")).to_be_visible()


def bar(page: Page, minute: int) -> Locator:
    """Return the row of the bar that starts then, in epoch ms."""
    return page.locator(f'tr[data-t="{minute}"]')


async def test_the_list_is_sorted_by_change_and_volume_and_movers_are_beside_it(
    page: Page, stack: Stack
) -> None:
    await page.goto(stack.url)
    options = page.get_by_role("listbox", name="Found").get_by_role("option")
    risen, fallen = options.filter(has_text="AAUP"), options.filter(has_text="AADN")
    await expect(risen).to_have_text(re.compile(r"Risen plc12\.00\+17\.07%8$"))
    await expect(fallen).to_have_text(re.compile(r"Fallen plc8\.00-17\.95%400$"))
    for by, first in (("Change", "AAUP"), ("Volume", "AADN"), ("Symbol", "AADN")):
        await page.get_by_role("button", name=by).click()
        await expect(options.filter(has_text=re.compile("AAUP|AADN")).first).to_contain_text(first)
    movers = page.get_by_role("region", name="Movers")
    await movers.get_by_role("button", name="5m", exact=True).click()
    for direction, mover in (("Rising", r"AAUP\+\d"), ("Falling", r"AADN-\d")):
        await expect(movers.get_by_role("table", name=direction)).to_contain_text(re.compile(mover))


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
    published = time.perf_counter()
    await expect(bar(page, minute)).to_contain_text("31.25")
    print(f"seen in the candle {time.perf_counter() - published:.2f} s after Kafka had it")
    await expect(page.locator(".standing .last")).to_have_text("31.25")
    in_the_list = page.get_by_role("listbox", name="Found").get_by_role("option", name="SUCA")
    await expect(in_the_list).to_contain_text("31.25")


async def test_search_finds_by_symbol_and_by_name(page: Page, stack: Stack) -> None:
    await page.goto(stack.url)
    found = page.get_by_role("listbox", name="Found").get_by_role("option")
    await expect(found).to_have_count(50)
    search = page.get_by_role("combobox", name="Search by symbol or name")
    await search.press_sequentially("fin")
    await expect(found).to_have_count(1)
    await expect(page.get_by_role("heading", level=1)).to_have_text("AADN")  # the first of all
    await search.fill("oth")
    await expect(found).to_contain_text(["Another Corp."])
    await search.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("OTHR")
    await search.fill("nothing of that name")
    await expect(page.get_by_text("No instrument has such a symbol or name.")).to_be_visible()


async def test_the_keyboard_finds_and_chooses_an_instrument(page: Page, stack: Stack) -> None:
    await page.goto(f"{stack.url}/#/markets/{SUCA}?interval=5m")
    await expect(page).to_have_url(re.compile(r"#/markets/SUCA\?interval=5m$"))
    search = page.get_by_role("combobox", name="Search by symbol or name")
    await page.keyboard.press("/")
    await expect(search).to_be_focused()
    await page.keyboard.type("othr")
    await page.keyboard.press("Enter")  # long before the answer
    await expect(page).to_have_url(re.compile(r"#/markets/OTHR\?interval=5m$"))
    await page.keyboard.press("Escape")
    await page.keyboard.press("/")
    await expect(search).to_have_value("")
    options = page.get_by_role("listbox", name="Found").get_by_role("option")
    await expect(options).to_have_count(50)
    for key in ("ArrowUp", "ArrowDown", "ArrowDown", "ArrowUp"):
        await page.keyboard.press(key)
    second = options.nth(1)
    await expect(second).to_have_attribute("aria-selected", "true")
    await expect(search).to_have_attribute(
        "aria-activedescendant", await second.get_attribute("id") or ""
    )
    await page.keyboard.press("Enter")
    await expect(second).to_have_attribute("aria-current", "true")
    await page.keyboard.press("Escape")
    await expect(search).not_to_be_focused()
    await page.keyboard.press("/")
    await expect(search).to_be_focused()


async def test_times_and_days_are_of_the_browsers_zone_until_another_is_chosen(
    page: Page, stack: Stack, seeded: int
) -> None:
    session = await page.context.new_cdp_session(page)
    await session.send("Emulation.setTimezoneOverride", {"timezoneId": "America/Sao_Paulo"})
    minute = seeded - 9 * MINUTE_MS

    def local(zone: str) -> datetime:
        return datetime.fromtimestamp(minute / 1000, ZoneInfo(zone))

    await show(page, stack)
    choice = page.get_by_label("Time zone")
    await expect(choice).to_have_value("America/Sao_Paulo")
    start = bar(page, minute).get_by_role("rowheader")
    await expect(start).to_have_text(f"{local('America/Sao_Paulo'):%Y-%m-%d %H:%M}")
    await choice.select_option("America/New_York")
    await expect(start).to_have_text(f"{local('America/New_York'):%Y-%m-%d %H:%M}")
    await page.get_by_role("link", name="1d", exact=True).click()
    await page.get_by_role("button", name="Table").click()
    days = page.locator("tr[data-t]")
    await expect(days.last.get_by_role("rowheader")).to_contain_text(
        f"{local('America/New_York'):%Y-%m-%d} 00:00"
    )
    stack.quote(SUCA, 55.25, minute_ms() + 3)
    await expect(days.first).to_contain_text("55.25")
    await page.reload()
    await expect(choice).to_have_value("America/New_York")


async def test_an_id_keeps_all_its_digits(page: Page, stack: Stack) -> None:
    await page.goto(stack.url)
    await page.get_by_role("combobox", name="Search by symbol or name").fill("huge")
    await page.get_by_role("listbox", name="Found").get_by_role("option", name="HUGE").click()
    await expect(page).to_have_url(re.compile("#/markets/HUGE$"))
    await expect(page.get_by_role("heading", level=1)).to_have_text("HUGE")
    minute = minute_ms()
    stack.quote(HUGE, 0.0000015, minute + 1, size=0.25)
    await expect(page.locator(".standing .last")).to_have_text("0.0000015")
    await page.get_by_role("button", name="Table").click()
    await expect(bar(page, minute)).to_contain_text("0.00000150.251")


async def test_axe_finds_nothing_serious_and_all_fits_the_window(page: Page, stack: Stack) -> None:
    await show(page, stack)
    await expect(page.locator("tbody tr[data-t]").first).to_be_visible()
    await expect(page.get_by_role("region", name="Similar").locator("tbody tr")).to_have_count(2)
    await assert_accessible(page)
    await page.get_by_role("button", name="API key").click()
    await assert_accessible(page)
    await page.get_by_role("button", name="Cancel").click()
    await page.goto(f"{stack.url}/#/markets/{EVIL}")
    await expect(page.locator(".prices .name")).to_have_text(SCRIPT)
    assert await page.locator("main script, main img").count() == 0
    await assert_fits(page)


_AGES_MIN: Final = (120, 180, 3_000)
"""Two on the first page of the archive, one behind pages without bars."""


@pytest.mark.slow
async def test_the_archive_has_earlier_bars(page: Page, behind: Stack, tmp_path: Path) -> None:
    config = ArchiveConfig(warehouse=str(tmp_path))
    now = minute_ms()
    minutes = [now - age * MINUTE_MS for age in _AGES_MIN]
    rows = [row(OTHER, start, [Quote(start, 12.5 + n, 1)], 1) for n, start in enumerate(minutes)]
    append(table_of(config), rows)
    with behind.api(archive_warehouse=config.warehouse):
        behind.quote(OTHER, 20.5, now + 1)
        await page.goto(f"{behind.url}/#/markets/{OTHER}")
        await page.get_by_role("button", name="Table").click()
        newest = page.locator(f'tr[data-t="{now}"]')
        await expect(newest).to_contain_text("20.50")
        for start, price in zip(minutes[:2], ("12.50", "13.50"), strict=True):
            await expect(page.locator(f'tr[data-t="{start}"]')).to_contain_text(price)
        earlier = page.get_by_role("button", name="Earlier bars")
        # There is none if the chart has read all by itself, as it sometimes does.
        await earlier.evaluate_all("found => found.forEach((button) => button.click())")
        await expect(page.locator(f'tr[data-t="{minutes[2]}"]')).to_contain_text("14.50")
        await expect(earlier).to_be_hidden()
