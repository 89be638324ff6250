"""The view `models` in a real browser: what is served, and what was decided."""

import re
import time
from datetime import UTC, datetime
from typing import Final

import msgspec
import pytest
from playwright.async_api import Page, expect

from contracts.generations import Canary, Current, Decision, HeldOut, Served
from trainer.generations.decisions import note
from trainer.generations.report import Data, Found, Inputs, Lists, Report, Selection
from trainer.quality.checking import Checked

from .accessible import assert_accessible, assert_fits
from .seeds import SCRIPT
from .stack import MINUTE_MS, Stack

G1, G2, G3, STEEP = (Served(f"20261126T1{n}0000Z-{n}", "cosine", "user-knn") for n in (1, 2, 3, 4))
NDCG: Final = {G1: 0.3012, G2: 0.3134, G3: 0.3207}


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
        selection=Selection(Found({"item_model": "cosine"}, "the best"), iso(9), 10, 100, 30),
    )


@pytest.fixture
def served(stack: Stack) -> Stack:
    """The default variant with a canary, another variant, and one that can be gone back to."""
    filled = stack.model
    since_ms = round(time.time() * 1000) - 20 * MINUTE_MS
    variants = {"default": G2, "steep": STEEP}
    canary = Canary(G3, 0.25, since_ms, since_ms + 60 * MINUTE_MS)
    current = Current(5, variants, None, canary, [G1])
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
    await expect(page.get_by_text(re.compile(r"as of \d+ s ago"))).to_be_visible()
    await assert_accessible(page)
    await assert_fits(page)


async def test_a_generations_report_is_shown_as_text(page: Page, served: Stack) -> None:
    await show(page, served)
    await page.get_by_role("link", name=G1.generation).click()
    report = page.get_by_role("region", name=f"Report of {G1.generation}")
    await expect(report).to_contain_text(re.compile("Users5,310.*Items1,200.*Pairs40,312"))
    await expect(report.locator("tbody tr").nth(1)).to_contain_text(SCRIPT)
    await expect(report.locator("tbody tr").nth(0)).to_contain_text("holds")
    await expect(page).to_have_title(re.compile("Models"))
