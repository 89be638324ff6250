"""The view `user` in a real browser, on a worker and an API."""

import json
import re

import msgspec
import pytest
from playwright.async_api import Page, expect

from .accessible import assert_accessible, assert_fits
from .seeds import GENERATION, ODD, OTHER, RARE, SCRIPT, SUCA, rows, seed, traded
from .stack import Stack


@pytest.fixture(scope="module", autouse=True)
def seeded(stack: Stack) -> None:
    seed(stack, "ABC", ODD)


async def test_it_shows_what_is_known_what_is_recommended_and_why(page: Page, stack: Stack) -> None:
    await page.goto(f"{stack.url}/#/user/ABC")
    await expect(page.get_by_role("heading", level=1)).to_have_text("ABC")
    await expect(page).to_have_title(re.compile("For a user"))
    await expect(rows(page, "Recommendations")).to_have_count(3)
    first = rows(page, "Recommendations").first
    await expect(first).to_contain_text(re.compile(r"1EVIL.*SUCA.*0\.500"))
    because = page.get_by_role("columnheader", name="Because of what the user has")
    await expect(because.locator("[title]")).to_be_visible()
    origin = page.get_by_label("Where the recommendations come from")
    await expect(origin).to_contain_text(re.compile(f"history.*cosine.*default.*{GENERATION}"))
    await expect(rows(page, "History")).to_have_text([re.compile(r"SUCA1\.00\d+ (s|min) ago")])
    await first.get_by_role("link", name="SUCA").click()
    await expect(page).to_have_url(re.compile("#/markets/SUCA$"))


async def test_an_event_changes_the_list_and_what_moved_is_marked(page: Page, stack: Stack) -> None:
    stack.publish(traded("mover", SUCA))
    stack.pipeline.wait_until_folded()
    await page.goto(f"{stack.url}/#/user/mover")
    listed = rows(page, "Recommendations")
    await expect(listed).to_have_count(3)
    act = page.get_by_role("group", name="Act as the user")
    await act.get_by_role("button", name="Trade").press("Enter")
    async with page.expect_response("**/v1/events") as published:
        await listed.get_by_role("button", name="Trade OTHR").click()
    event = json.loads((await published.value).request.post_data or "")
    assert event.items() >= {"user_id": "mover", "instrument_id": OTHER, "event": "trade"}.items()
    await expect(listed).to_have_count(3)
    await expect(listed.first).to_contain_text(re.compile("FARR.*OTHR.*new"))
    await expect(listed.nth(1)).to_contain_text(re.compile("EVIL.*▼ 1"))
    outcome = page.locator(".outcome")
    await expect(outcome).to_contain_text(
        re.compile(r"Trade on OTHR: the answer changed \d\.\d s later: 1 new, 1 gone, 1 m")
    )
    await expect(rows(page, "History").first).to_contain_text("OTHR")


async def test_a_choice_is_fed_back_with_all_that_was_shown(page: Page, stack: Stack) -> None:
    await page.goto(f"{stack.url}/#/user/chooser")
    await expect(rows(page, "Recommendations")).to_have_count(2)
    await expect(page.get_by_text("The user has no history.")).to_be_visible()
    async with page.expect_response("**/v1/feedback") as sent:
        await rows(page, "Recommendations").get_by_role("button", name="Click RARE").click()
    answer = await sent.value
    assert await answer.json() == {"impressions": 2, "clicks": 1}
    clicked = json.loads(answer.request.post_data or "")[-1]
    assert clicked["request_id"].startswith(f"default.{GENERATION}.popular.")
    assert (clicked["instrument_id"], clicked["position"]) == (RARE, 2)
    await expect(page.locator(".outcome")).to_contain_text("from popular, and now from history")


async def test_what_was_rejected_is_marked_and_can_be_taken_back(page: Page, stack: Stack) -> None:
    rejected = msgspec.structs.replace(traded("rejecter", OTHER), event="dislike")
    stack.publish(traded("rejecter", SUCA), rejected)
    stack.pipeline.wait_until_folded()
    await page.goto(f"{stack.url}/#/user/rejecter")
    disliked = rows(page, "History").filter(has_text="OTHR")
    await expect(disliked).to_contain_text("disliked")
    await expect(rows(page, "Recommendations").filter(has_text="OTHR")).to_have_count(0)
    async with page.expect_response("**/v1/events") as published:
        await disliked.get_by_role("button", name="Undo: view OTHR").click()
    assert json.loads((await published.value).request.post_data or "")["event"] == "view"
    await expect(disliked.get_by_role("button")).to_have_count(0)
    await expect(disliked).not_to_contain_text("disliked")


async def test_a_user_is_typed_in_or_drawn(page: Page, stack: Stack) -> None:
    await page.goto(f"{stack.url}/#/user")
    drawn = page.get_by_role("list", name="Drawn").get_by_role("link")
    await expect(drawn.filter(has_text=ODD)).to_have_count(1)
    await expect(page.get_by_role("heading", level=1)).to_have_text(
        re.compile(".+")
    )  # one of these is shown at once
    await page.get_by_role("button", name="Draw one").click()
    await expect(page).to_have_url(re.compile("#/user/.+"))
    await page.get_by_label("User", exact=True).fill(ODD)
    await page.get_by_label("User", exact=True).press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text(ODD)
    await expect(rows(page, "Recommendations")).to_have_count(3)
    await expect(rows(page, "Recommendations").first.locator(".name")).to_have_text(SCRIPT)
    assert await page.locator("main script, main img, main b").count() == 0


async def test_a_user_is_exported_and_erased_after_a_question(page: Page, stack: Stack) -> None:
    stack.publish(traded("leaver", SUCA))
    stack.pipeline.wait_until_folded()
    await page.goto(f"{stack.url}/#/user/leaver")
    await expect(rows(page, "History")).to_have_count(1)
    await page.get_by_role("button", name="Export…").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_role("button", name="Export").click()
    await expect(dialog.get_by_label("The answer")).to_contain_text('"user_id": "leaver"')
    async with page.expect_download() as downloading:
        await dialog.get_by_role("link", name="Download").click()
    path = await (await downloading.value).path()
    exported = json.loads(path.read_bytes())
    assert [item["instrument_id"] for item in exported["history"]] == [SUCA]
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Erase…").click()
    await expect(dialog).to_contain_text("Erase leaver?")
    await dialog.get_by_role("button", name="Cancel").click()
    await expect(rows(page, "History")).to_have_count(1)
    await page.get_by_role("button", name="Erase…").click()
    await dialog.get_by_role("button", name="Erase").click()
    await expect(dialog).to_contain_text("The erasure of leaver is in the log.")
    await dialog.get_by_role("button", name="Close").click()
    await expect(rows(page, "History")).to_have_count(0)
    await expect(page.get_by_label("Where the rec")).to_contain_text("popular")


async def test_axe_finds_nothing_serious_and_all_fits_the_window(page: Page, stack: Stack) -> None:
    await page.goto(f"{stack.url}/#/user/ABC")
    for region in ("Recommendations", "History", "Trending"):
        await expect(rows(page, region).first).to_be_visible()
    await assert_accessible(page)
    await page.get_by_role("button", name="Erase…").click()
    await assert_accessible(page)
    await page.get_by_role("button", name="Cancel").click()
    await page.goto(f"{stack.url}/#/user/{'long' * 32}")
    await expect(rows(page, "Recommendations")).to_have_count(2)
    await assert_fits(page)
