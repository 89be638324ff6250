"""One example of each answer and request, as /docs shows it."""

from typing import Any, Final

from api import answers

QUOTE_EVENT: Final[dict[str, Any]] = {
    "type": "quote",
    "instrument_id": 4,
    "price": 30.72,
    "size": 100,
    "ts": 1629061628123,
}
INTERACTION_EVENT: Final[dict[str, Any]] = {
    "type": "interaction",
    "user_id": "ABC",
    "instrument_id": 4,
    "event": "trade",
    "price": 10.273,
    "quantity": 2,
    "ts": 1629061628123,
}
LEGACY_EVENT: Final = answers.LegacyEvent(
    userid="ABC", price="10.273", timestamp="1629061628", instrid=4
)
BARS: Final = answers.Bars(
    instrument_id=4,
    interval="1m",
    bars=[
        answers.Bar(1629061620000, 30.72, 30.9, 30.71, 30.85, 1200, 14, 30.8, closed=True),
        answers.Bar(1629061680000, 30.85, 30.85, 30.8, 30.81, 300, 3, 30.82, closed=False),
    ],
)
SIMILAR: Final = answers.Similar(
    instrument_id=4,
    model="cosine",
    variant="default",
    generation="20210815T211000Z-7",
    items=[
        answers.SimilarInstrument(instrument_id=0, score=0.61, support=42),
        answers.SimilarInstrument(instrument_id=5, score=0.57, support=38),
    ],
)
RECOMMENDATIONS: Final = answers.Recommendations(
    user_id="ABC",
    request_id="default.20210815T211000Z-7.history.Jq3xT0mBzv9cWd2LrK5uYAbRqW9nT2xYc0LmVd8sKfPA",
    source="history",
    model="cosine",
    variant="default",
    generation="20210815T211000Z-7",
    items=[
        answers.Recommended(instrument_id=0, score=0.61, because=[4]),
        answers.Recommended(instrument_id=5, score=0.57, because=[4]),
    ],
)
HISTORY: Final = answers.History(
    user_id="ABC", items=[answers.Held(instrument_id=4, affinity=1, last_event_ts=1629061628123)]
)
ACCEPTED: Final = answers.Accepted(quotes=1, interactions=1)
LEGACY_BARS: Final = {
    "2021-08-15 21:07:00": answers.LegacyBar(
        instrid=4, price_close=30.85, price_high=30.9, price_low=30.71, price_open=30.72
    )
}
PREDICTED: Final = answers.PredictedItems(predicted_items=["0", "5"])
LEGACY_ADDED: Final = answers.LegacyAdded(resp=LEGACY_EVENT)
ALIVE: Final = answers.Liveness(status="alive")
READY: Final = answers.Readiness(status="ready", redis="ok", kafka="ok")
