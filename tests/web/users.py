"""Users, and instruments that they have, for the view `user`; and how to find these on it."""

import time

from playwright.async_api import Locator, Page

from contracts.messages import Interaction

from .stack import Stack

SUCA, EVIL, OTHER, FAR, RARE = 4, 5, 6, 7, 8
SCRIPT = "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
ODD = "Zoë/<b>1</b>"
GENERATION = "20261126T100000Z-1"


def traded(user_id: str, instrument_id: int) -> Interaction:
    """Return an event of just now."""
    return Interaction(user_id=user_id, instrument_id=instrument_id, ts=time.time_ns() // 1_000_000)


def seed(behind: Stack) -> None:
    """Fill in five instruments, their lists, and two users with a history."""
    with behind.api():
        behind.describe(SUCA, "SUCA", "Suca Financial Corp.")
        behind.describe(EVIL, "EVIL", SCRIPT)
        behind.describe(OTHER, "OTHR", "Another Corp.")
        behind.describe(FAR, "FARR", "Far Away Industries plc")
        behind.describe(RARE, "RARE", "Rare Earths Ltd.")
    behind.model.generation(
        GENERATION,
        {
            str(SUCA): [(str(EVIL), 0.5, 7.0), (str(OTHER), 0.25, 3.0)],
            str(OTHER): [(str(FAR), 0.75, 4.0), (str(EVIL), 0.125, 2.0)],
            str(RARE): [(str(FAR), 0.5, 4.0)],
        },
        popular=[(str(SUCA), 9.0), (str(RARE), 4.0)],
    )
    behind.publish(traded("ABC", SUCA), traded(ODD, SUCA))
    behind.pipeline.wait_until_folded()


def rows(page: Page, region: str) -> Locator:
    """Return the rows of a list."""
    return page.get_by_role("region", name=region, exact=True).locator("tbody tr")
