"""Markets and a user while the API is down, and with keys that it rejects."""

import re
from pathlib import Path
from typing import Final

import pytest
import redis
from playwright.async_api import Page, Request, Response, expect

from tests.api.keys import entry, write_keys

from .seeds import FAR, RARE, give, rows, seed, traded
from .stack import Stack, minute_ms

pytestmark = pytest.mark.slow
_PAUSE_MS: Final = 12_000
"""So long Redis answers nobody."""


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


async def test_a_user_keeps_what_there_is_while_the_api_is_away_and_goes_on(
    page: Page, behind: Stack
) -> None:
    banner = page.locator(".banner")
    history = rows(page, "History")
    with behind.api():
        await page.goto(f"{behind.url}/#/user/stayer")
        await expect(history).to_have_count(1)
        await expect(rows(page, "Recommendations")).to_have_count(3)
    await expect(banner).to_contain_text("Cut off since")
    await page.get_by_role("button", name="Click OTHR").first.click()
    await expect(page.locator(".outcome")).to_contain_text("it may be published or not")
    await expect(history).to_have_count(1)
    await expect(rows(page, "Recommendations")).to_have_count(3)
    behind.publish(traded("stayer", FAR))
    with behind.api():
        await expect(banner).to_be_hidden()
        await expect(history).to_have_count(2)


async def test_an_answer_that_asks_for_patience_is_said_and_gets_it(
    page: Page, behind: Stack
) -> None:
    answers: list[Response] = []
    page.on("response", lambda answer: answers.append(answer))
    banner = page.locator(".banner")
    with behind.api("api"):
        await page.goto(f"{behind.url}/#/user/stayer")
        await expect(rows(page, "Recommendations").first).to_be_visible()
        assert isinstance(behind.pipeline.store, redis.Redis)
        behind.pipeline.store.client_pause(_PAUSE_MS)
        await expect(banner).to_contain_text(
            re.compile(r"Delayed since \d\d.*The server answers 503: ", re.DOTALL)
        )
        await expect(page.locator(".status")).to_have_text("Delayed")
        await expect(rows(page, "Recommendations").first).to_be_visible()
        await expect(banner).to_be_hidden()
        await expect(page.locator(".status")).to_have_text("Connected")
    refused = [answer for answer in answers if answer.status == 503]
    assert refused
    for answer in refused:
        allowed = received_ms(answer) + 1000 * int(answer.headers["retry-after"])
        others = [other.request for other in answers if other.url == answer.url]
        later = [other for other in others if sent_ms(other) > received_ms(answer)]
        assert all(sent_ms(other) >= allowed for other in later), answer.url


def sent_ms(request: Request) -> float:
    """Return when the browser sent it: this process may be late to hear of it."""
    return request.timing["startTime"]


def received_ms(answer: Response) -> float:
    """Return when the browser had its head."""
    return sent_ms(answer.request) + answer.request.timing["responseStart"]


async def test_without_the_right_key_it_says_so_and_goes_on_with_one(
    page: Page, behind: Stack, tmp_path: Path
) -> None:
    keys = write_keys(
        tmp_path / "keys.json", entry("reads", scopes=["read"]), entry("ends", scopes=["admin"])
    )
    with behind.api(api_keys_file=str(keys)):
        await page.goto(f"{behind.url}/#/user/keyless")
        await expect(page.locator(".recommended").get_by_role("alert")).to_contain_text("key")
        await page.get_by_role("button", name="API key").click()
        await page.get_by_label("Key", exact=True).fill("not taken")
        await page.get_by_role("button", name="Cancel").click()
        await page.get_by_role("button", name="API key").click()
        await expect(page.get_by_label("Key", exact=True)).to_have_value("")
        # The box is there a moment before the dialog is, which Escape closes.
        await expect(page.get_by_role("dialog")).to_be_visible()
        await page.keyboard.press("Escape")
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
