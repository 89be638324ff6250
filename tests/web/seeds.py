"""Instruments and users of the tests, and how to find them on the page."""

import re
import time
from typing import Final

from playwright.async_api import Locator, Page

from contracts.instruments import Instrument
from contracts.messages import Interaction

from .stack import Stack

SUCA, EVIL, OTHER, FAR, RARE, HUGE = 4, 5, 6, 7, 8, 2**63 - 1
SCRIPT: Final = (
    "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
)
CATALOG: Final = (
    Instrument(SUCA, symbol="SUCA", name="Suca Financial Corp.", categories=("financials",)),
    Instrument(EVIL, symbol="EVIL", name=SCRIPT),
    Instrument(OTHER, symbol="OTHR", name="Another Corp."),
    Instrument(FAR, symbol="FARR", name="Far Away Industries plc"),
    Instrument(RARE, symbol="RARE", name="Rare Earths Ltd."),
    Instrument(HUGE, symbol="HUGE", name="Digits that a number of JavaScript cannot hold"),
)
ODD: Final = "Zoë/<b>1</b>"
GENERATION: Final = "20261126T100000Z-1"


def traded(user_id: str, instrument_id: int) -> Interaction:
    """Return an event of just now."""
    return Interaction(user_id=user_id, instrument_id=instrument_id, ts=time.time_ns() // 1_000_000)


def seed(stack: Stack, *users: str) -> None:
    """Publish a generation of lists, and have users trade `SUCA`."""
    stack.model.generation(
        GENERATION,
        {
            str(SUCA): [(str(EVIL), 0.5, 7.0), (str(OTHER), 0.25, 3.0)],
            str(OTHER): [(str(FAR), 0.75, 4.0), (str(EVIL), 0.125, 2.0)],
            str(FAR): [(str(HUGE), 0.5, 3.0)],
            str(RARE): [(str(FAR), 0.5, 4.0)],
        },
        popular=[(str(SUCA), 9.0), (str(RARE), 4.0)],
    )
    stack.publish(*(traded(user, SUCA) for user in users))
    stack.pipeline.wait_until_folded()


def rows(page: Page, region: str) -> Locator:
    return page.get_by_role("region", name=region, exact=True).locator("tbody tr")


async def give(page: Page, key: str) -> None:
    await page.get_by_role("button", name=re.compile("API key|Key set")).click()
    await page.get_by_label("Key", exact=True).fill(key)
    await page.get_by_role("button", name="Use it").click()
