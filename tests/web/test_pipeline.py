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

SCRIPT = "<script>document.title='taken'</script>"
BAD_QUOTE = f'{{"instrument_id":4,"price":0,"ts":1629061628123,"note":"{SCRIPT}"}}'
NOT_WELL = "Not well"
DRAWN = ".line:has(canvas)"


def reject(stack: Stack) -> None:
    """Publish a quote that the worker rejects, and return once it did."""
    stack.pipeline.publish_raw([(QUOTES.name, b"4", BAD_QUOTE.encode(), None)])
    stack.pipeline.wait_until_folded()


async def show(page: Page, stack: Stack) -> None:
    """Open the view."""
    await page.goto(f"{stack.url}/#/pipeline")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Pipeline")


async def test_it_shows_how_far_each_topic_and_partition_is(page: Page, stack: Stack) -> None:
    stack.quote(4, 10.5, minute_ms() + 1)
    stack.pipeline.wait_until_folded()
    await show(page, stack)
    await expect(page.locator(".verdict")).to_contain_text("All well")
    await expect(page.get_by_text("No record was rejected in the last 30 days.")).to_be_visible()
    await page.get_by_role("button", name="Partitions").click()
    table = page.get_by_role("region", name="Workers, by topic and partition")
    await expect(table.locator("tr.topic")).to_have_count(len(STREAMED))
    await expect(table.locator("tr.partition")).to_have_count(partitions_of(stack.pipeline))
    await expect(table.locator("tr.topic").first).to_contain_text(re.compile(r"quotes.*well"))


async def test_the_last_hour_is_drawn_and_told_as_text(page: Page, stack: Stack) -> None:
    await show(page, stack)
    quotes = page.get_by_role("group", name="quotes")
    await expect(quotes.locator(DRAWN)).to_have_count(4)
    lag = quotes.get_by_role("img", name=re.compile(r"Lag, in records: now 0"))
    await expect(lag).to_be_visible()
    box = await lag.bounding_box()
    assert box is not None
    await lag.hover(position={"x": box["width"] - 4, "y": 20})
    age = page.get_by_role("region", name="Last hour").locator(".title > .age")
    await expect(age).to_have_text(re.compile(r"at \d\d:\d\d:\d\d"))
    await page.mouse.move(0, 0)
    await expect(age).to_have_text(re.compile("as of"))
    await page.get_by_role("button", name="Table").click()
    hour = page.get_by_role("region", name="Last hour, as a table")
    await expect(hour.locator("tbody tr").first).to_be_visible()


async def test_dead_letters_need_an_admins_key_and_are_text(
    page: Page, behind: Stack, tmp_path: Path
) -> None:
    path = write_keys(tmp_path / "keys.json", entry("reader"), entry("boss", scopes=["admin"]))
    reject(behind)
    with behind.api(api_keys_file=str(path)):
        await show(page, behind)
        await expect(page.get_by_role("alert")).to_be_visible()
        await give(page, "reader")
        wrong = page.get_by_role("list", name=NOT_WELL)
        await expect(wrong).to_contain_text("quotes, dead letters")
        reasons = page.get_by_role("region", name="Reasons")
        await expect(reasons).to_contain_text("`$.price`")
        await expect(page.get_by_text("No record was rejected")).to_have_count(0)
        await page.get_by_role("button", name="Records").click()
        refused = page.locator(".records").get_by_role("alert")
        await expect(refused).to_contain_text("The key does not have the scope `admin`.")
        await expect(refused).to_contain_text("need a key that has the scope admin")
        await page.get_by_label("Admin key").fill("nobody")
        await page.get_by_role("button", name="Show the records").click()
        await expect(refused).to_contain_text("The key does not exist")
        await page.get_by_label("Admin key").fill("boss")
        await page.get_by_role("button", name="Show the records").click()
        record = page.get_by_role("list", name="Rejected records").get_by_role("listitem").first
        await expect(record.locator("pre")).to_have_text(BAD_QUOTE)
        assert await page.locator("main script").count() == 0
        await give(page, "nobody")
        await expect(page.locator(".verdict")).to_contain_text("not known")
        await expect(wrong).to_contain_text(re.compile(r"Kafka.*the API does not tell"))


async def test_axe_finds_nothing_serious(page: Page, stack: Stack) -> None:
    reject(stack)
    await show(page, stack)
    await page.get_by_role("button", name="Partitions").click()
    await page.get_by_role("button", name="Records").click()
    record = page.get_by_role("list", name="Rejected records").get_by_role("listitem").first
    await expect(record.locator("pre")).to_be_visible()
    await expect(page.get_by_role("group", name="quotes").locator(DRAWN)).to_have_count(4)
    await assert_accessible(page)
    await page.get_by_role("region", name="Last hour").get_by_role("button").click()
    await assert_accessible(page)


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
        unread = page.get_by_text("Whether and why records were rejected is not known: ")
        await expect(unread).to_contain_text("127.0.0.1:1")
        await expect(page.get_by_text("No record was rejected")).to_have_count(0)


async def test_nothing_is_wider_than_the_window(page: Page, stack: Stack) -> None:
    await show(page, stack)
    await expect(page.locator(f".lines {DRAWN}")).to_have_count(4 * len(STREAMED))
    await assert_fits(page)
