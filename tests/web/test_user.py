"""The view `user` in a real browser, on a worker and an API."""

import json
import re

import msgspec
import pytest
from playwright.async_api import Page, expect

from .accessible import assert_accessible, assert_fits
from .seeds import FAR, GENERATION, HUGE, ODD, OTHER, RARE, SCRIPT, SUCA, rows, seed, traded
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


async def test_what_is_hidden_is_gone_and_was_seen_but_not_clicked(
    page: Page, stack: Stack
) -> None:
    stack.publish(traded("hider", SUCA))
    stack.pipeline.wait_until_folded()
    await page.goto(f"{stack.url}/#/user/hider")
    listed = rows(page, "Recommendations")
    await expect(listed).to_have_count(3)
    act = page.get_by_role("group", name="Act as the user")
    await act.get_by_role("button", name="Hide").click()
    async with page.expect_response("**/v1/feedback") as sent:
        await listed.get_by_role("button", name="Hide OTHR").click()
    assert await (await sent.value).json() == {"impressions": 3, "clicks": 0}
    await expect(listed).not_to_contain_text(["OTHR"])
    await expect(page.locator(".outcome")).to_contain_text("Hide on OTHR: the answer changed")


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


async def test_it_recommends_by_the_wishes_in_the_address(page: Page, stack: Stack) -> None:
    await page.goto(f"{stack.url}/#/user/ABC?window=1h")
    listed = rows(page, "Recommendations")
    await expect(listed).to_have_count(3)
    await page.get_by_label("Buy again").select_option("First")
    await expect(page).to_have_url(re.compile(r"\?window=1h&repeats=first$"))
    await expect(listed.first).to_contain_text(re.compile("SUCA.*repeat"))
    await expect(listed.nth(1)).to_contain_text(re.compile("EVIL.*history"))
    async with page.expect_response(re.compile("/recommendations.*diversity=0.5")) as answered:
        await page.get_by_label("Diversity").select_option("Much")
    assert (await answered.value).ok
    await page.get_by_label("Buy again").select_option("Left out")
    await expect(page).to_have_url(re.compile(r"\?window=1h&diversity=0.5$"))
    await expect(listed.filter(has_text="repeat")).to_have_count(0)


async def test_an_id_keeps_all_its_digits(page: Page, stack: Stack) -> None:
    stack.publish(traded("giant", FAR))
    stack.pipeline.wait_until_folded()
    await page.goto(f"{stack.url}/#/user/giant")
    async with page.expect_response("**/v1/events") as published:
        await rows(page, "Recommendations").get_by_role("button", name="Click HUGE").click()
    assert (await published.value).ok
    await expect(rows(page, "History").first).to_contain_text("HUGE")
    await page.get_by_role("button", name="Export…").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_role("button", name="Export").click()
    await expect(dialog.get_by_label("The answer")).to_contain_text(f'"instrument_id": {HUGE}')


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


async def test_what_is_trending_counts_events_of_a_window(page: Page, stack: Stack) -> None:
    await page.goto(f"{stack.url}/#/user/ABC")
    trending = rows(page, "Trending")
    await expect(trending.first).to_contain_text("SUCA")
    group = page.get_by_role("group", name="Window")
    await expect(group.get_by_role("link", name="24h")).to_have_attribute("aria-current", "true")
    await group.get_by_role("link", name="1h").click()
    await expect(page).to_have_url(re.compile("#/user/ABC.window=1h$"))
    await expect(trending.first).to_contain_text("SUCA")


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


async def test_axe_finds_nothing_serious_and_nothing_is_wider_than_the_window(
    page: Page, stack: Stack
) -> None:
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
