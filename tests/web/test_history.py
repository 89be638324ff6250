"""Scrolling left continues in the archive where Redis has no more bars."""

from pathlib import Path
from typing import Final

import pytest
from playwright.async_api import Page, expect

from runtime.archive.config import ArchiveConfig
from tests.api.archive.market import Quote, append, row, table_of

from .seeds import OTHER
from .stack import MINUTE_MS, Stack, minute_ms

_AGES_MIN: Final = (120, 180, 3_000)
"""Two on the first page of the archive, one behind pages without bars."""


@pytest.mark.slow
async def test_earlier_bars_come_from_the_archive(
    page: Page, behind: Stack, tmp_path: Path
) -> None:
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
        await earlier.click()
        await expect(page.locator(f'tr[data-t="{minutes[2]}"]')).to_contain_text("14.50")
        await expect(earlier).to_be_hidden()
