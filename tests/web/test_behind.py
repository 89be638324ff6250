"""A page that is behind: effects come long after the rendering, answers after the next question."""

import asyncio
import re
from typing import Final

import pytest
from playwright.async_api import Page, Route, expect

from .seeds import OTHER, RARE, SUCA, rows, seed
from .stack import Stack

RENDERED_BEFORE: Final = """async () => {
  const { h, options, render } = await import("preact");
  const { useStore } = await import("/page/shell/hooks.js");
  const { createStore } = await import("/page/state/store.js");
  const store = createStore("before");
  const box = document.createElement("div");
  const effects = new Promise((painted) => (options.requestAnimationFrame = painted));
  render(h(() => useStore(store)), box);
  store.update(() => "after");
  (await effects)();
  options.requestAnimationFrame = undefined;
  await new Promise((next) => setTimeout(next));
  return box.textContent;
}"""
NOBODY_ASKS: Final = """async () => {
  const { repeatedly } = await import("/page/api/requests.js");
  const ending = new AbortController();
  const taken = [];
  const answer = new Promise((resolve) => setTimeout(() => resolve("late")));
  const asking = repeatedly("any", () => answer, {
    everyMs: null, signal: ending.signal, onAnswer: (late) => taken.push(late), onProblem() {},
  });
  ending.abort();
  await asking;
  return taken;
}"""
AWAY_BEFORE_RENAMED: Final = """async ([id, other]) => {
  const { options } = await import("preact");
  const task = () => new Promise((next) => setTimeout(next));
  const late = [];
  const paint = () => late.splice(0).forEach((effects) => effects());
  options.requestAnimationFrame = (effects) => late.push(effects);
  location.hash = `#/markets/${id}`;
  await new Promise((come) => addEventListener("hashchange", come, { once: true }));
  await task();
  paint(); // asks what the id means, which is known
  await task();
  location.hash = `#/markets/${other}`;
  paint(); // writes the symbol, before the event of the new address
  options.requestAnimationFrame = undefined;
}"""
PAINTED: Final = """async () => {
  for (let frames = 3; frames > 0; frames -= 1) {
    await new Promise((next) => requestAnimationFrame(() => setTimeout(next)));
  }
}"""
RENDER: Final = """async () => {
  const { chooseZone, zone } = await import("/page/state/zone.js");
  chooseZone(zone.get() === "UTC" ? "Asia/Tokyo" : "UTC");
}"""


@pytest.fixture(scope="module", autouse=True)
def seeded(stack: Stack) -> None:
    seed(stack, "behind")


async def held_back(page: Page, url: str) -> asyncio.Event:
    """Send requests only once the event is set."""
    released = asyncio.Event()

    async def late(route: Route) -> None:
        await released.wait()
        await route.continue_()

    await page.route(url, late)
    return released


async def test_what_changes_between_a_rendering_and_its_effects_is_shown(
    page: Page, stack: Stack
) -> None:
    await page.goto(stack.url)
    assert await page.evaluate(RENDERED_BEFORE) == "after"


async def test_an_answer_that_comes_after_the_end_is_not_taken(page: Page, stack: Stack) -> None:
    await page.goto(stack.url)
    assert await page.evaluate(NOBODY_ASKS) == []


async def test_a_symbol_is_not_written_over_an_address_that_is_newer(
    page: Page, stack: Stack
) -> None:
    for subject, symbol in ((SUCA, "SUCA"), (OTHER, "OTHR")):
        await page.goto(f"{stack.url}/#/markets/{subject}")
        await expect(page).to_have_url(re.compile(f"#/markets/{symbol}$"))
    await page.evaluate(AWAY_BEFORE_RENAMED, [SUCA, RARE])
    await expect(page).to_have_url(re.compile("#/markets/RARE$"))
    await expect(page.get_by_role("heading", level=1)).to_have_text("RARE")


async def test_an_act_is_forgotten_with_its_question_though_it_is_published_later(
    page: Page, stack: Stack
) -> None:
    released = await held_back(page, "**/v1/events")
    await page.goto(f"{stack.url}/#/user/behind")
    outcome = page.locator(".outcome")
    await rows(page, "Recommendations").get_by_role("button", name="Click OTHR").click()
    await expect(outcome).to_have_text("Click on OTHR: publishing…")
    await page.get_by_label("Buy again").select_option("First")
    await expect(rows(page, "Recommendations").filter(has_text="repeat")).not_to_have_count(0)
    await expect(outcome).to_contain_text("Choose what the user does")
    async with page.expect_response("**/v1/feedback") as sent:
        released.set()
    await (await sent.value).finished()
    await page.evaluate(PAINTED)
    await expect(outcome).to_contain_text("Choose what the user does")


async def test_who_goes_elsewhere_before_a_user_is_drawn_stays_there(
    page: Page, stack: Stack
) -> None:
    await page.goto(f"{stack.url}/#/user/behind")
    await expect(page.get_by_role("list", name="Drawn").get_by_role("link")).not_to_have_count(0)
    released = await held_back(page, "**/v1/users?n=*")
    await page.get_by_role("button", name="Draw one").click()
    await page.get_by_label("User", exact=True).fill("elsewhere")
    await page.get_by_label("User", exact=True).press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("elsewhere")
    async with page.expect_response("**/v1/users?n=*") as drawn:
        released.set()
    await (await drawn.value).finished()
    await page.evaluate(PAINTED)
    await expect(page).to_have_url(re.compile("#/user/elsewhere$"))


async def test_a_key_that_is_being_typed_stays_when_the_page_is_rendered(
    page: Page, stack: Stack
) -> None:
    await page.goto(f"{stack.url}/#/user/behind")
    await page.get_by_role("button", name="API key").click()
    await page.get_by_label("Key", exact=True).fill("half a k")
    await page.evaluate(RENDER)
    await expect(page.get_by_label("Key", exact=True)).to_have_value("half a k")
    await page.get_by_role("button", name="Use it").click()
    await page.get_by_role("button", name="Erase…").click()
    await page.get_by_label("Admin key").fill("half an a")
    await page.evaluate(RENDER)
    await expect(page.get_by_label("Admin key")).to_have_value("half an a")
