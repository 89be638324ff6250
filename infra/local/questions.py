"""The demo's requests to each endpoint, and the smoke test's additional ones.

Each GET of the API's description is asked with its examples, for a user and an instrument of the
stack. Here are the requests whose answers must show more, and those that change something.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from infra.local import plausible
from infra.local.asking import Question
from infra.local.described import SWITCHING_PROTOCOLS, Operation, operations
from infra.local.subjects import Subjects

_NEW_USER: Final = "ABC"
_NEW_INSTRUMENT: Final = 1_000_000
"""not a simulated one"""
_NEW: Final = {"symbol": "NEW", "name": "New Corp.", "categories": ["tech"]}


def questions(
    subjects: Subjects, document: Mapping[str, Any], now_s: Callable[[], float] = time.time
) -> Iterator[Question]:
    """Yield a question for every operation of an OpenAPI document.

    Those that publish use the current time.
    """
    asked = []
    for question in _ours(subjects, now_s):
        asked.append(question)
        yield question
    for operation in operations(document):
        if operation.method == "GET" and not any(asks(each, operation) for each in asked):
            yield _by_example(operation, subjects)


def asks(question: Question, operation: Operation) -> bool:
    """Return whether a question is one of the operation's, and expects it to succeed."""
    same = operation.arguments(question.method, question.path) is not None
    # A plain request does not open a WebSocket.
    status = 426 if operation.status == SWITCHING_PROTOCOLS else operation.status
    return same and question.status == status


def _ours(subjects: Subjects, now_s: Callable[[], float]) -> Iterator[Question]:
    yield from _first_version(subjects, now_s)
    yield from _prices(subjects.instrument_id)
    yield from _catalog(subjects.instrument_id)
    yield from _lists(subjects)
    yield from _events(subjects, now_s)
    yield from _erasure()
    yield from _service()


def _by_example(operation: Operation, subjects: Subjects) -> Question:
    of_stack = {
        "instrument": subjects.instrument_id,
        "instrument_id": subjects.instrument_id,
        "instruments": subjects.instrument_id,
        "user_id": subjects.user_id,
    }
    check = plausible.like(operation.answer, operation.members)
    return Question(operation.target(operation.needed, of_stack), check)


def _first_version(subjects: Subjects, now_s: Callable[[], float]) -> Iterator[Question]:
    instrument = subjects.instrument_id
    yield Question(f"/instruments/{instrument}", plausible.legacy_bars)
    yield Question(f"/instruments/similar/{instrument}", plausible.predicted)
    yield Question(f"/instruments/similar/{subjects.user_id}", plausible.predicted)
    trade = {"userid": _NEW_USER, "price": str(subjects.price), "instrid": instrument}
    trade |= {"timestamp": str(int(now_s()))}
    yield Question("/add/request", plausible.echoes(trade), method="POST", body=trade)


def _prices(instrument: int) -> Iterator[Question]:
    yield Question(f"/v1/instruments/{instrument}/bars?limit=5", plausible.bars)
    of_many = f"/v1/bars?instruments={instrument}&start=0&limit=5"
    yield Question(of_many, plausible.bars_of(instrument))
    stream = f"/v1/stream/bars?instruments={instrument}"
    yield Question(stream, plausible.streams(instrument), until="event: live")
    quotes = f"/v1/stream/quotes?instruments={instrument}"
    yield Question(quotes, plausible.streams_quotes(instrument), until="event: live")
    yield Question("/v1/stream", plausible.is_problem("upgrade-required"), status=426)
    yield Question("/v1/movers?window=5m&n=3", plausible.moved)


def _catalog(instrument: int) -> Iterator[Question]:
    yield Question(f"/v1/instruments/{instrument}", plausible.describes)
    new, by_symbol = f"/v1/instruments/{_NEW_INSTRUMENT}", f"/v1/instruments/{_NEW['symbol']}"
    taken = plausible.equals({"instrument_id": _NEW_INSTRUMENT})
    yield Question(new, taken, method="PUT", body=_NEW, status=202)
    yield Question(by_symbol, plausible.describes)
    several = [{"instrument_id": _NEW_INSTRUMENT, **_NEW}]
    of_several = plausible.equals({"instruments": 1})
    yield Question("/v1/instruments", of_several, method="PUT", body=several, status=202)
    yield Question(new, taken, method="DELETE", status=202)
    yield Question(by_symbol, plausible.is_problem("unknown-instrument"), status=404)


def _lists(subjects: Subjects) -> Iterator[Question]:
    instrument, user = subjects.instrument_id, subjects.user_id
    yield Question(f"/v1/instruments/{instrument}/similar?n=3", plausible.scored)
    yield Question(f"/v1/users/{user}/recommendations?n=3", plausible.scored)
    basket = {"items": [{"instrument_id": instrument}], "n": 3}
    yield Question("/v1/recommendations", plausible.scored, method="POST", body=basket)
    users = [user, _NEW_USER]
    batch = {"user_ids": users, "n": 3}
    of_each = plausible.of_each(users)
    yield Question("/v1/recommendations/batch", of_each, method="POST", body=batch)


def _events(subjects: Subjects, now_s: Callable[[], float]) -> Iterator[Question]:
    instrument = subjects.instrument_id
    about = {"instrument_id": instrument, "price": subjects.price, "ts": int(now_s() * 1000)}
    events: list[dict[str, Any]] = [
        {"type": "quote", **about, "size": 10},
        {"type": "interaction", "user_id": _NEW_USER, "event": "trade", "quantity": 2, **about},
    ]
    taken = plausible.equals({"quotes": 1, "interactions": 1})
    yield Question("/v1/events", taken, method="POST", body=events, status=202)
    # For a user that the trainer has not seen yet: computed from the event just published.
    recommended = f"/v1/users/{_NEW_USER}/recommendations?n=3"
    yield Question(recommended, plausible.because_of(instrument))
    seen = {"request_id": subjects.request_id, "user_id": subjects.user_id, "position": 1}
    seen |= {"instrument_id": subjects.recommended}
    feedback = [{"type": "impression", **seen}, {"type": "click", **seen}]
    taken = plausible.equals({"impressions": 1, "clicks": 1})
    yield Question("/v1/feedback", taken, method="POST", body=feedback, status=202)


def _erasure() -> Iterator[Question]:
    user = f"/v1/users/{_NEW_USER}"
    erasing = plausible.equals({"user_id": _NEW_USER})
    yield Question(user, erasing, method="DELETE", status=202)
    yield Question(f"{user}/history", plausible.is_problem("unknown-user"), status=404)


def _service() -> Iterator[Question]:
    yield Question("/v1/pipeline", plausible.kafka_is_ok)
    yield Question("/metrics", plausible.counts_requests)
