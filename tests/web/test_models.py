"""The view `models` in a real browser: what is served, and decisions."""

import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from playwright.async_api import Page, expect

from contracts.decisions import Decision, Standing
from contracts.figures import Happened, HeldOut, Mean
from contracts.generations import Canary, Current, Experiment, Served
from tests.api.keys import entry, write_keys
from trainer.generations.decisions import note, note_standing, read_decisions
from trainer.generations.report import Data, Inputs, Lists, Report, Selection
from trainer.judging.found import Found
from trainer.quality.checking import Checked

from .accessible import assert_accessible, assert_fits
from .seeds import SCRIPT, give
from .stack import MINUTE_MS, Stack

G1, G2, G3, STEEP = (Served(f"20261126T1{n}0000Z-{n}", "cosine", "user-knn") for n in (1, 2, 3, 4))
NDCG: Final = {G1: 0.3012, G2: 0.3134, G3: 0.3207}
ADMIN, READER = "admin", "reader"


def iso(minutes_ago: float) -> str:
    return datetime.fromtimestamp(time.time() - 60 * minutes_ago, UTC).isoformat()


def report(served: Served, minutes_ago: float) -> Report:
    ndcg = NDCG[served]
    return Report(
        generation=served.generation,
        fence=5,
        started=iso(minutes_ago + 0.1),
        finished=iso(minutes_ago),
        inputs=Inputs({}, {}),
        data=Data(1200, 40_312, 1, 2, 5310, 61_204),
        lists=Lists(10, 80, 30, 300, 10),
        seconds={"read": 1.5},
        quality=[
            Checked("users", "hard", holds=True, value=5310, limit=100, meaning="how many users"),
            Checked("gap", "soft", holds=False, value=0.4, limit=0.2, meaning=f"a gap {SCRIPT}"),
        ],
        held_out=HeldOut(210, ndcg, ndcg - 0.02, ndcg + 0.02, 0.81, 0.74),
        happened=Happened(250, Mean(0.29, 0.02), Mean(0.1, 0.01), Mean(0.19, 0.02), 0.28),
        selection=Selection(Found({"item_model": "cosine"}, "the best"), iso(9), 10, 100, 30),
    )


@pytest.fixture
def served(stack: Stack) -> Stack:
    """The default variant with a canary, another variant, and one that can be gone back to."""
    filled = stack.model
    since_ms = round(time.time() * 1000) - 20 * MINUTE_MS
    variants = {"default": G2, "steep": STEEP}
    current = Current(5, variants, None, Canary(G3, 0.25, since_ms), [G1])
    filled.serve(current)
    filled.store.delete(filled.keys.model_decisions())
    for minutes_ago, generation in ((120, G1), (60, G2), (20, G3)):
        key = filled.keys.model_report(generation.generation)
        filled.store.set(key, msgspec.json.encode(report(generation, minutes_ago)))
    for n in range(6):
        figures = {f"ndcg{end}": 0.29 + n / 500 + by for end, by in (("", 0.0), ("_low", -0.02))}
        figures |= {"ndcg_high": 0.32, "coverage": 0.8 - n / 100, "personalization": 0.7 + n / 200}
        figures |= {"holdout_users": 190.0 + n}
        old = f"20261126T0{n}0000Z-{n}"
        why = f"to all of the variant's users at once {SCRIPT if n == 0 else ''}"
        decision = Decision(iso(600 - 80 * n), old, "default", "published", why, "rules", figures)
        note(filled.store, filled.keys, decision)
    return stack


@pytest.fixture
def seen(served: Stack) -> Stack:
    """What the trainer saw of the canary."""
    now_ms = round(time.time() * 1000)
    standing = Standing(
        generation=G3.generation,
        at=iso(2),
        due_ms=now_ms + 40 * MINUTE_MS,
        until_ms=now_ms + 1400 * MINUTE_MS,
        enough=False,
        why="nDCG@10 0.1310 for 0.1250 served, of 250 users; too little was seen to say more",
        figures={
            "holdout_users_served": 218,
            "holdout_users_canary": 132,
            "ndcg_served": 0.125,
            "ndcg_canary": 0.131,
            "ndcg_p": 0.61,
            "users_served": 1140,
            "impressions_served": 11230,
            "clicks_served": 1123,
            "clicks_unmatched_served": 0,
            "users_canary": 60,
            "impressions_canary": 500,
            "clicks_canary": 40,
            "clicks_unmatched_canary": 0,
        },
    )
    note_standing(served.model.store, served.model.keys, standing)
    return served


def current_of(stack: Stack) -> Current:
    stored: Any = stack.model.store.get(stack.model.keys.model_current())
    return msgspec.json.decode(stored, type=Current)


async def show(page: Page, stack: Stack, place: str = "models") -> None:
    """Open the view, and return when it has its answers."""
    await page.goto(f"{stack.url}/#/{place}")
    await expect(page.get_by_role("region", name="Variants")).to_be_visible()
    await expect(page.get_by_role("heading", name="Decisions")).to_be_visible()


async def test_it_shows_who_is_served_what_with_the_figures_of_the_reports(
    page: Page, served: Stack
) -> None:
    await show(page, served)
    rows = page.get_by_role("region", name="Variants").locator("tbody tr")
    await expect(rows).to_have_text(
        [
            re.compile(rf"default75\.0%{G2.generation}cosineuser-knn0\.3134.*81\.0%74\.0%.*broken"),
            re.compile(rf"steep0\.0%{STEEP.generation}.*no report"),
            re.compile(rf"canary25\.0%{G3.generation}.*0\.3207"),
            re.compile(rf"kept{G1.generation}.*0\.3012"),
        ]
    )
    shares = page.get_by_role("img", name="default 75.0%, steep 0.0%, canary 25.0%")
    await expect(shares).to_be_visible()
    await expect(page.get_by_text(re.compile(r"as of \d+ s ago"))).to_be_visible()


async def test_a_generations_report_is_shown_as_text(page: Page, served: Stack) -> None:
    await show(page, served)
    await page.get_by_role("link", name=G1.generation).click()
    report = page.get_by_role("region", name=f"Report of {G1.generation}")
    await expect(report).to_contain_text(re.compile("Users5,310.*Items1,200.*Pairs40,312"))
    await expect(report).to_contain_text(
        "nDCG 0.2900 ± 0.0200 by what 250 users newly took, predicted 0.2800; "
        "over the popular list 0.1900 ± 0.0200"
    )
    await expect(report.locator("tbody tr").nth(1)).to_contain_text(SCRIPT)
    await expect(report.locator("tbody tr").nth(0)).to_contain_text("holds")
    await expect(page).to_have_title(re.compile("Models"))


async def test_figures_go_back_further_than_reports_in_lines_and_in_a_table(
    page: Page, served: Stack
) -> None:
    await show(page, served)
    figures = page.get_by_role("region", name="Generations over time", exact=True)
    accuracy = figures.get_by_role("img", name="Accuracy")
    await expect(accuracy).to_have_accessible_name(re.compile("of 9 generations 0.2900 to 0.3207"))
    await expect(accuracy.locator("circle")).to_have_count(9)
    await figures.get_by_role("button", name="Table").click()
    rows = figures.locator("tbody tr")
    await expect(rows).to_have_count(9)
    await expect(rows.first).to_contain_text(re.compile(f"{G3.generation}.*0.3207.*81.0%.*210"))
    await expect(rows.last).to_contain_text(re.compile("20261126T000000Z-0.*0.2900.*80.0%.*190"))


async def test_a_decision_that_is_made_comes_up_with_its_reason(page: Page, served: Stack) -> None:
    await show(page, served)
    rows = page.get_by_role("region", name="Decisions").locator("tbody tr")
    await expect(rows).to_have_count(6)
    why = f"nDCG fell {SCRIPT}"
    made = Decision(iso(0), "g9", "canary", "rolled back", why, "ops", {"ndcg_p": 0.0123})
    note(served.model.store, served.model.keys, made)
    await expect(rows.first).to_contain_text(re.compile("rolled back.*ops.*g9.*canary"))
    await expect(rows.first).to_contain_text(f"{why}ndcg_p 0.0123")


async def test_a_canary_is_shown_beside_what_is_served(page: Page, seen: Stack) -> None:
    await show(page, seen)
    trial = page.get_by_role("region", name="Canary", exact=True)
    await expect(trial).to_contain_text("Too little is seen to judge")
    await expect(trial).to_contain_text("of 250 users; too little was seen to say more")
    await expect(trial).to_contain_text(re.compile(r"Judgedin (3\d|40) min.*in 23 h"))
    rows = trial.locator("tbody tr")
    await expect(rows.nth(0)).to_have_text(re.compile(r"nDCG.*0\.12500\.1310\+4\.80%0\.610"))
    await expect(rows.nth(2)).to_have_text(re.compile(r"Click-through10\.0%8\.0%-20\.00%"))


async def test_a_promotion_asks_first_and_says_what_was_answered(page: Page, served: Stack) -> None:
    await show(page, served)
    before = current_of(served)
    await page.get_by_role("button", name="Promote…").click()
    question = page.get_by_role("dialog")
    await expect(question).to_contain_text(f"100.0% of all users get {G3.generation}")
    await expect(question).to_contain_text(f"It replaces {G2.generation}")
    await page.keyboard.press("Escape")
    await expect(question).to_be_hidden()
    assert current_of(served) == before
    await page.get_by_role("button", name="Promote…").click()
    await question.get_by_label("Why").fill("nDCG@10 held")
    await question.get_by_role("button", name="Promote").click()
    said = f"{G3.generation} was promoted. The default variant serves {G3.generation}."
    await expect(question.get_by_role("status")).to_have_text(said)
    assert current_of(served).variants["default"] == G3
    assert read_decisions(served.model.store, served.model.keys, 1)[0].why == "nDCG@10 held"
    await question.get_by_role("button", name="Close").click()
    rows = page.get_by_role("region", name="Variants").locator("tbody tr")
    await expect(rows.first).to_contain_text(G3.generation)
    await expect(page.get_by_role("button", name="Promote…")).to_be_disabled()
    await expect(page.get_by_text("No generation is on trial")).to_be_visible()


async def test_a_rollback_takes_the_canary_then_goes_back_then_cannot(
    page: Page, served: Stack
) -> None:
    await show(page, served)
    for fact, serves in (
        (f"The canary {G3.generation} is withdrawn", G2),
        (f"100.0% of all users go back from {G2.generation} to {G1.generation}", G1),
    ):
        button = page.get_by_role("button", name="Roll back…")
        await button.click()
        question = page.get_by_role("dialog")
        await expect(question).to_contain_text(fact)
        await expect(question).to_contain_text("publishes nothing until a person requests it")
        await question.get_by_role("button", name="Roll back").click()
        await expect(question.get_by_role("status")).to_contain_text(f"serves {serves.generation}.")
        assert current_of(served).variants["default"] == serves
        await question.get_by_role("button", name="Close").click()
        await expect(page.get_by_text("Held: someone rolled back")).to_be_visible()
    await expect(page.get_by_role("button", name="Roll back…")).to_be_disabled()


async def test_what_changed_while_it_was_asked_is_not_decided(page: Page, served: Stack) -> None:
    await show(page, served)
    await page.get_by_role("button", name="Promote…").click()
    question = page.get_by_role("dialog")
    other = msgspec.structs.replace(current_of(served), canary=Canary(G1, 0.5, 1))
    served.model.serve(other)
    await expect(question.get_by_role("alert")).to_contain_text("changed in the meantime")
    await expect(question.get_by_role("button", name="Promote")).to_be_disabled()
    assert current_of(served) == other


async def test_weights_show_whom_they_move_and_end_with_the_experiment(
    page: Page, served: Stack
) -> None:
    await show(page, served)
    await page.get_by_role("button", name="Weights…").click()
    question = page.get_by_role("dialog")
    await question.get_by_label("Name of the experiment").fill("spring")
    await question.get_by_label("Weight of default").fill("3")
    steep = question.get_by_label("Weight of steep")
    await steep.fill("")
    await steep.press_sequentially("0.5")
    rows = question.locator("tbody tr")
    await expect(rows).to_have_text(["default100.0%85.7%", "steep0.0%14.3%"])
    await steep.fill("1")
    await expect(rows).to_have_text(["default100.0%75.0%", "steep0.0%25.0%"])
    await question.get_by_role("button", name="Assign them").click()
    said = question.get_by_role("status")
    await expect(said).to_have_text("Experiment spring: default 75.0%, steep 25.0% of the users.")
    wanted = Experiment("spring", {"default": 3.0, "steep": 1.0})
    assert current_of(served).experiment == wanted
    await question.get_by_role("button", name="Close").click()
    variants = page.get_by_role("region", name="Variants").locator("tbody tr")
    await expect(variants.nth(1)).to_contain_text("25.0%")
    # The dialog that says so, too, may still be closing.
    await expect(page.get_by_text("experiment spring", exact=True)).to_be_visible()

    await page.get_by_role("button", name="Weights…").click()
    for name in ("default", "steep"):
        await question.get_by_label(f"Weight of {name}").fill("0")
    await question.get_by_role("button", name="Assign them").click()
    await expect(said).to_contain_text("no variant has a weight above 0")
    assert current_of(served).experiment == wanted
    await question.get_by_role("button", name="Cancel").click()

    await page.get_by_role("button", name="End experiment…").click()
    await question.get_by_role("button", name="End it").click()
    await expect(said).to_contain_text("The experiment spring has ended")
    assert current_of(served).experiment is None


async def test_reading_and_deciding_say_which_key_they_need(
    page: Page, served: Stack, behind: Stack, tmp_path: Path
) -> None:
    keys = [entry(READER, scopes=["read"]), entry(ADMIN, scopes=["admin"])]
    path = write_keys(tmp_path / "keys.json", *keys)
    with behind.api(api_keys_file=str(path)):
        await page.goto(f"{behind.url}/#/models")
        needed = page.get_by_text("Reading models needs a key that has the scope read.")
        await expect(needed).to_be_visible()
        for key in ("tk_unknown", READER):
            await give(page, key)
            refused = key != READER
            await expect(needed).to_be_visible(visible=refused)
        await page.get_by_role("button", name="Promote…").click()
        question = page.get_by_role("dialog").filter(has_text="Promote the canary?")
        await question.get_by_role("button", name="Promote").click()
        await expect(question.get_by_role("status")).to_have_text(
            "The key does not have the scope `admin`."
        )
        await expect(question.get_by_role("alert")).to_contain_text(
            "a key that has the scope admin"
        )
        own = question.get_by_label("Admin key")
        await expect(own).to_be_focused()
        await own.fill(ADMIN)
        await own.press("Enter")
        await expect(question.get_by_role("status")).to_contain_text("was promoted")
        assert read_decisions(served.model.store, served.model.keys, 1)[0].by == "admin"
        await question.get_by_role("button", name="Close").click()
        # What is read goes on with the key that reads: the one that decides may not.
        await expect(page.get_by_role("button", name="Promote…")).to_be_disabled()


async def test_before_the_first_generation_it_says_so(page: Page, stack: Stack) -> None:
    stack.model.serve_nothing()
    await page.goto(f"{stack.url}/#/models")
    await expect(page.get_by_text("The trainer has not published a model yet")).to_be_visible()
    await expect(page.get_by_role("dialog")).to_be_hidden()


async def test_axe_finds_nothing_serious(page: Page, seen: Stack) -> None:
    await show(page, seen)
    await page.get_by_role("button", name="Table").click()
    await assert_accessible(page)
    await page.get_by_role("button", name="Weights…").click()
    await assert_accessible(page)


async def test_nothing_is_wider_than_the_window(page: Page, seen: Stack) -> None:
    await show(page, seen)
    await assert_fits(page)
