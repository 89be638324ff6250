"""The view `pipeline` in a real browser, on a worker and an API."""

import re

from playwright.async_api import Page, expect

from contracts.topics import STREAMED
from tests.integration.watched import partitions_of

from .accessible import assert_accessible, assert_fits
from .stack import Stack, minute_ms


async def test_everyone_sees_how_far_topics_and_partitions_are(page: Page, stack: Stack) -> None:
    stack.quote(4, 10.5, minute_ms() + 1)
    stack.pipeline.wait_until_folded()
    await page.goto(f"{stack.url}/#/pipeline")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Pipeline")
    await expect(page.locator(".verdict")).to_contain_text("All well")
    await page.get_by_role("button", name="Partitions").click()
    table = page.get_by_role("region", name="Workers, by topic and partition")
    await expect(table.locator("tr.topic")).to_have_count(len(STREAMED))
    await expect(table.locator("tr.partition")).to_have_count(partitions_of(stack.pipeline))
    await expect(table.locator("tr.topic").first).to_contain_text(re.compile(r"quotes.*well"))
    await assert_accessible(page)
    await assert_fits(page)
