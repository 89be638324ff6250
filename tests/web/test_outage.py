"""What the page does while the API is away."""

import re

from playwright.async_api import Page, expect

from .stack import Stack, minute_ms


async def test_it_says_that_it_is_cut_off_keeps_what_it_has_and_goes_on(
    page: Page, behind: Stack
) -> None:
    banner = page.get_by_role("status").first
    with behind.api():
        behind.describe(4, "SUCA", "Suca Financial Corp.")
        behind.quote(4, 10.5, minute_ms() + 1)
        await page.goto(f"{behind.url}/#/markets/4")
        await page.get_by_role("button", name="Table").click()
        price = page.locator(".standing .last")
        await expect(price).to_have_text("10.50")
        await expect(banner).to_be_hidden()
    await expect(banner).to_contain_text(re.compile(r"Cut off since \d\d:\d\d:\d\d"))
    await expect(price).to_have_text("10.50")
    with behind.api():
        await expect(banner).to_be_hidden()
        behind.quote(4, 11.75, minute_ms() + 2)
        await expect(price).to_have_text("11.75")
        await expect(page.locator("tbody tr[data-t]").first).to_contain_text("11.75")
