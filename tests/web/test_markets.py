"""The view `markets` in a real browser, on a worker and an API."""

import asyncio
import re
import time
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from playwright.async_api import Browser, Locator, Page, Route, expect

from contracts.instruments import Instrument

from .accessible import assert_accessible, assert_fits
from .seeds import EVIL, HUGE, SCRIPT, SUCA, seed
from .stack import MINUTE_MS, Stack, minute_ms

CROWD = range(1_000, 51_000)
RISEN, FALLEN, QUIET = 21, 22, 23
FORBIDDEN_STORAGE = """
Object.defineProperty(window, "localStorage", {
  get() { throw new DOMException("Access is denied", "SecurityError") },
});
"""


@pytest.fixture(scope="module", autouse=True)
def seeded(stack: Stack) -> int:
    """Fill in 50,000 instruments and minutes of one; return the start of the minute of then."""
    now = minute_ms()
    for ago in (9, 8, 5, 4):
        stack.quote(SUCA, 10.0 + ago, now - ago * MINUTE_MS + 1000)
    stack.describe(*(Instrument(n, symbol=f"Z{n}", name=f"Another of many {n} plc") for n in CROWD))
    stack.describe(
        Instrument(RISEN, symbol="AAUP", name="Risen plc"),
        Instrument(FALLEN, symbol="AADN", name="Fallen plc"),
        Instrument(QUIET, symbol="AAQT", name="Quiet plc"),
    )
    for ago in range(8):
        ts = minute_ms(ago) + 1000
        stack.quote(RISEN, 12.0 - ago / 4, ts)
        stack.quote(FALLEN, 8.0 + ago / 4, ts, size=50.0)
    stack.quote(QUIET, 5.5, minute_ms(20))
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


async def test_the_buttons_do_not_move_when_the_price_arrives(page: Page, stack: Stack) -> None:
    asked = asyncio.Event()

    async def late(route: Route) -> None:
        await asked.wait()
        await route.continue_()

    await page.route("**/v1/snapshots*", late)
    await page.goto(f"{stack.url}/#/markets/AAUP")
    button = page.get_by_role("button", name="Table")
    await expect(page.get_by_role("heading", level=1)).to_have_text("AAUP")
    before = await button.bounding_box()
    asked.set()
    await expect(page.locator(".standing dl")).to_be_visible()
    assert await button.bounding_box() == before


async def test_an_old_price_is_said_to_be_stale(page: Page, stack: Stack) -> None:
    await page.goto(f"{stack.url}/#/markets/AAQT")
    await expect(page.locator(".standing")).to_contain_text(re.compile(r"stale, \d+ min ago"))
    quiet = page.get_by_role("option", name="AAQT")
    await expect(quiet).to_contain_text(re.compile(r"\d+ min old"))
    await expect(quiet).to_have_class("stale")
    await expect(page.get_by_role("option", name="AAUP")).not_to_contain_text("old")


async def test_figures_of_a_part_of_the_day_say_since_when(page: Page, stack: Stack) -> None:
    async def partly(route: Route) -> None:
        answer = await (await route.fetch()).json()
        for snapshot in answer["snapshots"].values():
            snapshot["day"] = {**snapshot["day"], "t": 0, "partial": partial}
        await route.fulfill(json=answer)

    await page.route("**/v1/snapshots*", partly)
    partial = False
    await page.goto(f"{stack.url}/#/markets/AAUP")
    covered = page.locator(".standing .covered")
    await expect(covered).to_have_text("today (UTC)")
    partial = True
    await expect(covered).to_have_text(re.compile(r"^since \d\d:\d\d earlier minutes of today"))


async def test_the_bar_under_the_pointer_or_the_finger_is_shown_in_figures(
    page: Page, browser: Browser, stack: Stack
) -> None:
    touched = await browser.new_page(has_touch=True, viewport={"width": 390, "height": 844})
    for one, at in ((page, page.mouse.move), (touched, touched.touchscreen.tap)):
        await one.goto(f"{stack.url}/#/markets/AAUP")
        legend = one.locator(".legend")
        newest = re.compile(r"O 12\.00H 12\.00L 12\.00C 12\.00.*V 11 quotes")
        await expect(legend).to_have_text(newest)
        box = await one.locator(".chart").bounding_box()
        assert box is not None
        seen = set()
        for step in range(40):
            await at(box["x"] + box["width"] * step / 40, box["y"] + 60)
            await one.evaluate("() => new Promise(requestAnimationFrame)")
            seen |= set(re.findall(r"L (\S+)\s+C \1\s", await legend.inner_text()))
        assert {"12.00"} < seen <= {f"{12 - ago / 4:.2f}" for ago in range(8)}
    await touched.close()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("markets/AAUP?interval=7x", "no interval “7x”, so this shows 1m. Known: 1m, 5m, 15m"),
        ("user/ABC?window=2h", "no window “2h”, so this shows 24h. Known: 1h, 6h, 24h, 7d"),
        ("marktes", "no view “marktes”. Known: markets, user, pipeline, models"),
    ],
)
async def test_an_unknown_part_of_an_address_is_named(
    page: Page, stack: Stack, address: str, said: str
) -> None:
    await page.goto(f"{stack.url}/#/{address}")
    await expect(page.get_by_role("alert")).to_contain_text(said)


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


async def test_a_late_quote_revises_the_bar_of_its_own_minute(
    page: Page, stack: Stack, seeded: int
) -> None:
    await show(page, stack)
    minute, before = seeded - 5 * MINUTE_MS, seeded - 8 * MINUTE_MS
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


async def test_an_instrument_is_found_and_chosen_with_the_keyboard(
    page: Page, stack: Stack
) -> None:
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


async def test_enter_chooses_from_what_was_typed_last_on_a_page_that_is_behind(
    page: Page, stack: Stack
) -> None:
    """Nothing is painted between the keys: effects of the first rendering come after Enter."""
    await page.goto(f"{stack.url}/#/markets/{SUCA}?interval=5m")
    await expect(page.get_by_role("listbox", name="Found").get_by_role("option")).to_have_count(50)
    await page.evaluate(
        """async () => {
          const field = document.querySelector("[role=combobox]");
          const press = (key) =>
            field.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
          press("ArrowDown");
          await Promise.resolve();
          field.value = "othr";
          press("Enter");
        }"""
    )
    await expect(page).to_have_url(re.compile(r"#/markets/OTHR\?interval=5m$"))


async def test_an_address_has_the_symbol_unless_it_means_another_instrument(
    page: Page, stack: Stack
) -> None:
    stack.describe(
        Instrument(11, symbol="TWIN", name="The one that the symbol means"),
        Instrument(12, symbol="TWIN", name="The other one"),
        Instrument(13, symbol="700", name="Digits that are not its id"),
    )
    heading = page.get_by_role("heading", level=1)
    for typed, shown, symbol in (
        ("suca", "SUCA", "SUCA"),
        ("11", "TWIN", "TWIN"),
        ("12", "12", "TWIN"),
        ("13", "13", "700"),
    ):
        await page.goto("about:blank")  # so that nothing is known from before
        async with page.expect_response(f"**/v1/instruments/{symbol if typed != '13' else 13}"):
            await page.goto(f"{stack.url}/#/markets/{typed}")
        await expect(heading).to_have_text(symbol)
        await page.evaluate("() => new Promise(requestAnimationFrame)")
        await expect(page).to_have_url(re.compile(f"#/markets/{shown}$"))
    await page.goto(f"{stack.url}/#/markets/NONE-SUCH")
    await expect(page.get_by_role("alert")).to_contain_text("NONE-SUCH")


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


async def test_of_50_000_instruments_it_lists_as_many_as_one_can_read(
    page: Page, stack: Stack
) -> None:
    await page.goto(stack.url)
    found = page.get_by_role("listbox", name="Found").get_by_role("option")
    await expect(found).to_have_count(50)
    await expect(page.get_by_text("The first 50 by symbol: search for others.")).to_be_visible()
    await page.get_by_role("combobox", name="Search by symbol or name").fill(f"z{CROWD[-1]}")
    await expect(found).to_have_count(1)
    await found.click()
    await expect(page.get_by_role("heading", level=1)).to_have_text(f"Z{CROWD[-1]}")


async def test_an_instrument_that_is_new_is_listed_without_a_reload(
    page: Page, stack: Stack
) -> None:
    await page.clock.install()
    await page.goto(stack.url)
    await page.get_by_role("combobox", name="Search by symbol or name").fill("newcomer")
    await expect(page.get_by_text("No instrument has such a symbol or name.")).to_be_visible()
    stack.describe(Instrument(9, symbol="NEWC", name="Newcomer"))
    await page.clock.fast_forward(10_000)
    await expect(page.get_by_role("listbox", name="Found")).to_contain_text("NEWC")


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


async def test_a_name_is_text_whatever_stands_in_it(page: Page, stack: Stack) -> None:
    await show(page, stack, f"markets/{EVIL}")
    await expect(page.locator(".prices .name")).to_have_text(SCRIPT)
    await expect(page).to_have_title(re.compile("Markets"))
    assert await page.locator("main script, main img").count() == 0


async def test_what_was_never_seen_is_said_to_be_so(page: Page, stack: Stack) -> None:
    await show(page, stack, "markets/987")
    await expect(page.get_by_role("alert").first).to_contain_text("987")
    # The stream of the list may answer in the meantime, too.
    async with page.expect_response(f"**/v1/stream/bars*{HUGE + 1}*") as refused:
        await page.goto(f"{stack.url}/#/markets/{HUGE + 1}")
    assert (await refused.value).status == 422
    await expect(page.locator(".prices").get_by_role("alert")).to_contain_text(str(HUGE))
    await expect(page.locator(".status")).to_have_text("Connected")


async def test_axe_finds_nothing_serious_and_nothing_is_wider_than_the_window(
    page: Page, stack: Stack
) -> None:
    await show(page, stack)
    await expect(page.locator("tbody tr[data-t]").first).to_be_visible()
    await expect(page.get_by_role("region", name="Similar").locator("tbody tr")).to_have_count(2)
    await assert_accessible(page)
    await page.get_by_role("button", name="API key").click()
    await assert_accessible(page)
    await page.get_by_role("button", name="Cancel").click()
    await page.goto(f"{stack.url}/#/markets/{EVIL}")
    await expect(page.locator(".prices .name")).to_have_text(SCRIPT)
    await assert_fits(page)


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
    await page.add_init_script(FORBIDDEN_STORAGE)
    await page.reload()
    await expect(root).to_have_attribute("data-theme", "light")
    await page.get_by_role("button", name="Dark").click()
    await expect(root).to_have_attribute("data-theme", "dark")
