"""The view `pipeline` in a real browser, on a worker and an API."""

import re
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from contracts.topics import QUOTES, STREAMED
from tests.api.keys import entry, write_keys
from tests.integration.watched import partitions_of

from .accessible import assert_accessible, assert_fits
from .seeds import give
from .stack import Stack, minute_ms

BAD_QUOTE = b'{"instrument_id":4,"price":0,"ts":1629061628123}'
NOT_WELL = "Not well"


async def show(page: Page, stack: Stack) -> None:
    """Open the view."""
    await page.goto(f"{stack.url}/#/pipeline")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Pipeline")


async def test_it_shows_how_far_each_topic_and_partition_is(page: Page, stack: Stack) -> None:
    stack.quote(4, 10.5, minute_ms() + 1)
    stack.pipeline.wait_until_folded()
    await show(page, stack)
    await expect(page.locator(".verdict")).to_contain_text("All well")
    await page.get_by_role("button", name="Partitions").click()
    table = page.get_by_role("region", name="Workers, by topic and partition")
    await expect(table.locator("tr.topic")).to_have_count(len(STREAMED))
    await expect(table.locator("tr.partition")).to_have_count(partitions_of(stack.pipeline))
    await expect(table.locator("tr.topic").first).to_contain_text(re.compile(r"quotes.*well"))


async def test_rejected_records_are_counted_and_the_command_that_lists_them_is_named(
    page: Page, stack: Stack
) -> None:
    await show(page, stack)
    hint = page.get_by_text("python -m operations.topics dead-letters")
    count = page.locator("tr.topic").first.locator("td").last
    await expect(count).to_have_text("0")
    await expect(hint).to_have_count(0)
    stack.pipeline.publish_raw([(QUOTES.name, b"4", BAD_QUOTE, None)])
    await expect(count).to_have_text("1")
    await expect(hint).to_be_visible()
    await expect(page.locator(".panel", has=hint)).to_have_text(re.compile(r"reasons\.\s*$"))


async def test_without_a_valid_key_nothing_is_known(
    page: Page, behind: Stack, tmp_path: Path
) -> None:
    path = write_keys(tmp_path / "keys.json", entry("reader"))
    with behind.api(api_keys_file=str(path)):
        await show(page, behind)
        await expect(page.get_by_role("alert")).to_contain_text("Enter one with")
        await give(page, "reader")
        await expect(page.get_by_role("alert")).to_be_hidden()
        await expect(page.locator("tr.topic")).to_have_count(len(STREAMED))
        await give(page, "nobody")
        await expect(page.get_by_role("alert")).to_contain_text("Enter another one with")
        await expect(page.locator(".verdict")).to_contain_text("not known")
        wrong = page.get_by_role("list", name=NOT_WELL)
        await expect(wrong).to_contain_text(re.compile(r"Kafka.*the API does not tell"))


async def test_axe_finds_nothing_serious_and_nothing_is_wider_than_the_window(
    page: Page, stack: Stack
) -> None:
    await show(page, stack)
    await page.get_by_role("button", name="Partitions").click()
    await expect(page.locator("tr.partition").first).to_be_visible()
    await assert_accessible(page)
    await assert_fits(page)


@pytest.mark.slow
async def test_it_says_that_the_api_is_away_and_goes_on(page: Page, behind: Stack) -> None:
    wrong = page.get_by_role("list", name=NOT_WELL)
    with behind.api():
        await show(page, behind)
        await expect(page.locator("tr.topic")).to_have_count(len(STREAMED))
    await expect(wrong).to_contain_text(re.compile(r"API.*since \d\d:\d\d:\d\d"))
    old = re.compile(r"as of ([3-9]|\d\d+) s ago")
    await expect(page.locator(".standings .tools")).to_contain_text(old)
    await expect(page.locator("tr.topic")).to_have_count(len(STREAMED))
    with behind.api():
        well = page.get_by_role("list", name="Well", exact=True)
        await expect(well.get_by_text("API", exact=True)).to_be_visible()
        await expect(wrong.get_by_text("API", exact=True)).to_have_count(0)


async def test_it_says_why_kafka_is_away(page: Page, behind: Stack) -> None:
    with behind.api(kafka_bootstrap_servers="127.0.0.1:1"):
        await show(page, behind)
        worst = page.get_by_role("list", name=NOT_WELL).get_by_role("listitem").first
        await expect(worst).to_contain_text(re.compile(r"Failing\s*Kafka.*127\.0\.0\.1:1"))
        await expect(page.locator(".verdict")).to_contain_text("not well")
