"""What the demo asks each endpoint, and what the smoke test takes for a plausible answer."""

import json
import shlex
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import httpx
import msgspec

from contracts.generations import DEFAULT_VARIANT, Current, PopularList
from contracts.keyspace import Keyspace
from contracts.topics import INTERACTIONS
from infra.topics import noted_partitions
from runtime.stores import Store

_TIMEOUT_S: Final = 3
_SAID: Final = 300
"""characters of an answer that a complaint repeats"""
_NEW_USER: Final = "ABC"


class ImplausibleError(ValueError):
    """An answer that is not what it should be: what, and what it is."""


@dataclass(frozen=True, slots=True)
class Subjects:
    """Whom and what to ask about."""

    instrument_id: int
    """the most popular one"""
    user_id: str
    """one with a history"""
    price: float
    """a recent one of the instrument"""


@dataclass(frozen=True, slots=True)
class Question:
    """A request, and what its answer must be."""

    path: str
    check: Callable[[Any], None]
    """takes the JSON, or the text where it is none; raises ImplausibleError"""
    body: Any = None
    """posted as JSON, if there is one"""
    status: int = 200

    def curl(self, api_url: str) -> str:
        """Return the command line that asks the same."""
        url = shlex.quote(f"{api_url}{self.path}")
        if self.body is None:
            return f"curl {url}"
        return f"curl {url} --json {shlex.quote(json.dumps(self.body))}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, and what is wrong with it."""

    question: Question
    status: int | None
    body: Any
    problem: str | None


def find_subjects(store: Store, keyspace: Keyspace, client: httpx.Client) -> Subjects | None:
    """Return whom and what to ask about, None while the first generation is not there."""
    partitions = range(noted_partitions(store, keyspace).get(INTERACTIONS.name, 0))
    users = [user for p in partitions if (user := _some_user(store, keyspace.active(p)))]
    generation = served_generation(store, keyspace)
    if not users or generation is None:
        return None
    popular = store.get(keyspace.model_popular(generation))
    items = msgspec.json.decode(popular, type=PopularList).items if popular else []
    for item in items:
        bars = client.get(f"/v1/instruments/{item.item}/bars")
        if bars.is_success and bars.json()["bars"]:
            return Subjects(int(item.item), users[0], bars.json()["bars"][-1]["c"])
    return None


def _some_user(store: Store, active: str) -> str | None:
    """Return a user whose own list may well be up to date: not one of the latest seconds."""
    middle = store.zcard(active) // 2
    return next((str(user) for user in store.zrange(active, middle, middle)), None)


def served_generation(store: Store, keyspace: Keyspace) -> str | None:
    """Return the generation that is served, None before the first."""
    value = store.get(keyspace.model_current())
    variants = msgspec.json.decode(value, type=Current).variants if value else {}
    served = variants.get(DEFAULT_VARIANT)
    return served.generation if served else None


def questions(subjects: Subjects, now_s: Callable[[], float] = time.time) -> Iterator[Question]:
    """Yield a question for every endpoint; those that publish say what time it is by then."""
    instrument, user = subjects.instrument_id, subjects.user_id
    yield Question(f"/instruments/{instrument}", _legacy_bars)
    yield Question(f"/instruments/similar/{instrument}", _predicted)
    yield Question(f"/instruments/similar/{user}", _predicted)
    trade = {"userid": _NEW_USER, "price": str(subjects.price), "instrid": instrument}
    trade |= {"timestamp": str(int(now_s()))}
    yield Question("/add/request", _echoes(trade), body=trade)
    yield Question(f"/v1/instruments/{instrument}/bars?limit=5", _bars)
    yield Question(f"/v1/bars?instruments={instrument}&start=0&limit=5", _bars_of(instrument))
    yield Question(f"/v1/quotes/latest?instruments={instrument}", _quote_of(instrument))
    yield Question(f"/v1/snapshots?instruments={instrument}", _stands(instrument))
    yield Question(f"/v1/instruments/{instrument}/similar?n=3", _scored)
    yield Question("/v1/instruments?listed=true&n=3", _described)
    yield Question(f"/v1/instruments/{instrument}", lambda said: _described({"items": [said]}))
    yield Question("/v1/movers?window=5m&n=3", _moved)
    yield Question(f"/v1/users/{user}/recommendations?n=3", _scored)
    basket = {"items": [{"instrument_id": instrument}], "n": 3}
    yield Question("/v1/recommendations", _scored, body=basket)
    users = [user, _NEW_USER]
    batch = {"user_ids": users, "n": 3}
    yield Question("/v1/recommendations/batch", _of_each(users), body=batch)
    yield Question(f"/v1/users/{user}/history", _history)
    yield Question(f"/v1/users/{user}/export", _exported)
    yield Question("/v1/models", lambda said: _serves(said["variants"][0]["serves"]))
    yield Question("/v1/experiments", lambda said: _serves(said["variants"][0]))
    yield Question("/v1/models/decisions?n=3", lambda said: _require(said["decisions"], "none"))
    yield Question("/v1/pipeline", lambda said: _same("kafka", said["kafka"], "ok"))
    about = {"instrument_id": instrument, "price": subjects.price, "ts": int(now_s() * 1000)}
    events = [
        {"type": "quote", **about, "size": 10},
        {"type": "interaction", "user_id": _NEW_USER, "event": "trade", "quantity": 2, **about},
    ]
    yield Question("/v1/events", _accepted, body=events, status=202)
    # Of a user that the trainer has not seen yet: worked out from the event just published.
    yield Question(f"/v1/users/{_NEW_USER}/recommendations?n=3", _because_of(instrument))
    yield Question("/health/live", lambda said: _same("status", said["status"], "alive"))
    yield Question("/health/ready", lambda said: _same("status", said["status"], "ready"))
    yield Question("/metrics", _counts_requests)


def ask(client: httpx.Client, question: Question) -> Answer:
    """Ask once."""
    try:
        if question.body is None:
            response = client.get(question.path)
        else:
            response = client.post(question.path, json=question.body)
    except httpx.HTTPError as error:
        return Answer(question, None, None, f"no answer: {error}")
    body = _body(response)
    return Answer(
        question, response.status_code, body, problem(question, response.status_code, body)
    )


def problem(question: Question, status: int, body: Any) -> str | None:
    """Return what is wrong with an answer, None if nothing is."""
    said = body if isinstance(body, str) else json.dumps(body)
    if status != question.status:
        return f"status {status} instead of {question.status}: {said[:_SAID]}"
    try:
        question.check(body)
    except ImplausibleError as implausible:
        return str(implausible)
    except (AttributeError, IndexError, KeyError, TypeError) as missing:
        return f"not of the documented shape, {missing!r}: {said[:_SAID]}"
    return None


def _body(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return response.text


def connect_api(api_url: str) -> httpx.Client:
    """Return a client of the API."""
    return httpx.Client(base_url=api_url, timeout=_TIMEOUT_S)


def _require(condition: object, complaint: str) -> None:
    if not condition:
        raise ImplausibleError(complaint)


def _same(what: str, is_: object, should_be: object) -> None:
    _require(is_ == should_be, f"{what} is {is_!r}, not {should_be!r}")


def _echoes(body: dict[str, Any]) -> Callable[[Any], None]:
    return lambda said: _same("resp", said["resp"], body)


def _legacy_bars(said: Any) -> None:
    _require(said, "no minute in the last five, though quotes come every second")
    for minute, bar in said.items():
        prices = (bar["price_low"], bar["price_open"], bar["price_close"], bar["price_high"])
        _ordered(minute, *prices)


def _bars(said: Any) -> None:
    _require(said["bars"], "no bar in the last five minutes, though quotes come every second")
    for bar in said["bars"]:
        _ordered(bar["t"], bar["l"], bar["o"], bar["c"], bar["h"])
        _require(bar["n"] >= 1, f"bar {bar['t']} has no quotes")
    starts = [bar["t"] for bar in said["bars"]]
    _require(starts == sorted(set(starts)), f"bars are not in order of time: {starts}")


def _bars_of(instrument_id: int) -> Callable[[Any], None]:
    return lambda said: _bars({"bars": said["bars"][str(instrument_id)]})


def _quote_of(instrument_id: int) -> Callable[[Any], None]:
    def check(said: Any) -> None:
        price = said["quotes"][str(instrument_id)]["price"]
        _require(price > 0, f"the price is {price}")

    return check


def _stands(instrument_id: int) -> Callable[[Any], None]:
    def check(said: Any) -> None:
        found = said["snapshots"][str(instrument_id)]
        _bars({"bars": [found["day"] or found["previous_day"]]})

    return check


def _ordered(when: object, low: float, open_: float, close: float, high: float) -> None:
    fits = 0 < low <= min(open_, close) <= max(open_, close) <= high
    _require(fits, f"bar {when}: low {low}, open {open_}, close {close}, high {high}")


def _predicted(said: Any) -> None:
    items = said["predicted_items"]
    _require(items, "the list is empty")
    _require(len(items) <= 10 and len(set(items)) == len(items), f"not ten different: {items}")


def _scored(said: Any) -> None:
    scores = [item["score"] for item in said["items"]]
    _require(scores, "the list is empty")
    _require(scores == sorted(scores, reverse=True), f"the best do not come first: {scores}")


def _moved(said: Any) -> None:
    changes = [mover["change"] for mover in said["movers"]]
    _require(said["as_of"], "no prices are known")
    _require(changes == sorted(changes, reverse=True), f"the greatest is not first: {changes}")


def _of_each(users: list[str]) -> Callable[[Any], None]:
    def check(said: Any) -> None:
        _same("the users", [one["user_id"] for one in said["recommendations"]], users)
        for one in said["recommendations"]:
            _scored(one)

    return check


def _because_of(instrument_id: int) -> Callable[[Any], None]:
    def check(said: Any) -> None:
        _scored(said)
        _require(said["source"] != "popular", "the event just published does not count yet")
        because = said["items"][0]["because"]
        _require(instrument_id in because, f"because of {because}, not {instrument_id}")

    return check


def _described(said: Any) -> None:
    _require(said["items"], "the catalog is empty")
    _require(all(item["symbol"] and item["name"] for item in said["items"]), "one has no name")


def _history(said: Any) -> None:
    _require(said["items"], "the history is empty")
    _require(all(item["affinity"] > 0 for item in said["items"]), "an affinity is not above 0")


def _exported(said: Any) -> None:
    _require(said["history"], "the history is empty")
    _require(said["last_event_ts"], "no time of the last event")


def _serves(said: Any) -> None:
    _require(said["generation"], "no generation is named")


def _accepted(said: Any) -> None:
    _same("the answer", said, {"quotes": 1, "interactions": 1})


def _counts_requests(said: Any) -> None:
    _require("api_requests_total{" in said, "no request is counted")
