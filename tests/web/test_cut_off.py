"""Markets and a user while the API is down, and with keys that it rejects."""

import re
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.api.keys import entry, write_keys

from .seeds import RARE, give, rows, seed
from .stack import Stack, minute_ms

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def seeded(stack: Stack) -> None:
    seed(stack, "stayer", "keyless")


async def test_markets_say_that_they_are_cut_off_keep_what_they_have_and_go_on(
    page: Page, behind: Stack
) -> None:
    banner = page.locator(".banner")
    with behind.api():
        behind.quote(RARE, 10.5, minute_ms() + 1)
        await page.goto(f"{behind.url}/#/markets/{RARE}")
        await page.get_by_role("button", name="Table").click()
        price = page.locator(".standing .last")
        await expect(price).to_have_text("10.50")
        await expect(banner).to_be_hidden()
    await expect(banner).to_contain_text(re.compile(r"Cut off since \d\d:\d\d:\d\d"))
    await expect(price).to_have_text("10.50")
    with behind.api():
        await expect(banner).to_be_hidden()
        behind.quote(RARE, 11.75, minute_ms() + 2)
        await expect(price).to_have_text("11.75")
        await expect(page.locator("tbody tr[data-t]").first).to_contain_text("11.75")
    await page.get_by_role("link", name="Models", exact=True).click()
    await expect(page.get_by_text("Loading…")).to_be_visible()
    with behind.api():
        await expect(page.get_by_role("heading", level=1)).to_have_text("Models")


async def test_without_the_right_key_it_says_so_and_goes_on_with_one(
    page: Page, behind: Stack, tmp_path: Path
) -> None:
    keys = write_keys(
        tmp_path / "keys.json", entry("reads", scopes=["read"]), entry("ends", scopes=["admin"])
    )
    with behind.api(api_keys_file=str(keys)):
        await page.goto(f"{behind.url}/#/user/keyless")
        await expect(page.locator(".recommended").get_by_role("alert")).to_contain_text("key")
        await give(page, "wrong")
        await expect(page.locator(".recommended").get_by_role("alert")).to_contain_text("key")
        await give(page, "reads")
        await expect(rows(page, "Recommendations")).to_have_count(3)
        await expect(page.locator(".recommended").get_by_role("alert")).to_have_count(0)
        await page.get_by_role("button", name="Click OTHR").first.click()
        await expect(page.locator(".outcome")).to_contain_text("a key that has the scope write")
        await page.get_by_role("button", name="Erase…").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_role("button", name="Erase").click()
        await expect(dialog).to_contain_text("a key that has the scope admin")
        await dialog.get_by_label("Admin key").fill("ends")
        await dialog.get_by_role("button", name="Erase").click()
        await expect(dialog).to_contain_text("The erasure of keyless is in the log.")
