"""`python -m tickrec_client http://127.0.0.1:8000 [API key]` asks a running stack this and that."""
# ruff: noqa: T201 (a script that prints)

import sys
import time
from itertools import islice

import msgspec

from . import Tickrec
from .structs import Interaction, Recommendations, SentFeedback


def main(url: str, api_key: str = "") -> None:
    """Look at instrument 4, trade it, watch it, and click what is recommended then."""
    with Tickrec(url, api_key) as tickrec:
        _show("bars", tickrec.instrument_bars(4, limit=2))
        now_ms = time.time_ns() // 1_000_000
        trade = Interaction(user_id="ABC", instrument_id=4, ts=now_ms)
        _show("published", tickrec.publish_events([trade]))
        for change in islice(tickrec.stream_bars([4]), 4):
            _show(type(change).__name__, change)
        found = tickrec.user_recommendations("ABC", n=3)
        _show("recommended", found)
        _show("published", tickrec.publish_feedback(_shown_and_first_clicked(found)))


def _show(what: str, answer: msgspec.Struct) -> None:
    print(f"{what:12} {msgspec.json.encode(answer).decode()}")


def _shown_and_first_clicked(found: Recommendations) -> list[SentFeedback]:
    shown = [
        SentFeedback(
            type="impression",
            request_id=found.request_id,
            user_id=found.user_id,
            instrument_id=item.instrument_id,
            position=position,
        )
        for position, item in enumerate(found.items, start=1)
    ]
    return [*shown, *(msgspec.structs.replace(first, type="click") for first in shown[:1])]


if __name__ == "__main__":
    main(*sys.argv[1:])
