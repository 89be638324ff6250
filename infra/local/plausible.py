"""Plausibility checks of responses: a check takes a response, and reports what is wrong."""

import json
from collections.abc import Callable, Collection
from typing import Any

Check = Callable[[Any], None]
"""Takes the JSON of a response, or its text if not JSON; raises ImplausibleError."""


class ImplausibleError(ValueError):
    """An unexpected response: the complaint, and the value."""


def require(condition: object, complaint: str) -> None:
    """Raise ImplausibleError with the complaint unless the condition holds."""
    if not condition:
        raise ImplausibleError(complaint)


def same(what: str, is_: object, should_be: object) -> None:
    """Require that a value is as expected."""
    require(is_ == should_be, f"{what} is {is_!r}, not {should_be!r}")


def echoes(body: dict[str, Any]) -> Check:
    """The first version's response repeats the body."""
    return lambda said: same("resp", said["resp"], body)


def equals(answer: Any) -> Check:
    """The response is exactly this."""
    return lambda said: same("the answer", said, answer)


def is_problem(slug: str) -> Check:
    """The response is a problem of this type."""
    return lambda said: same("type", said["type"], f"urn:tickrec:problem:{slug}")


def like(example: Any, members: Collection[str]) -> Check:
    """The response has these members, and its first list or object is not empty.

    Unless the example's is. That one is what the response is about; others may well be empty.
    """
    filled = _first_filled(example)

    def check(said: Any) -> None:
        require(said, "the answer is empty")
        missing = sorted(set(members) - set(said)) if isinstance(example, dict) else []
        require(not missing, f"without {', '.join(missing)}")
        require(filled is None or said[filled], f"{filled} is empty")

    return check


def _first_filled(example: Any) -> str | None:
    """Return the name of the first list or object of an example, None if there is none."""
    members = example.items() if isinstance(example, dict) else ()
    return next((name for name, value in members if value and isinstance(value, list | dict)), None)


def legacy_bars(said: Any) -> None:
    """The first version's bars exist, and each is valid."""
    require(said, "no minute in the last five, although quotes arrive every second")
    for minute, bar in said.items():
        prices = (bar["price_low"], bar["price_open"], bar["price_close"], bar["price_high"])
        _ordered(minute, *prices)


def bars(said: Any) -> None:
    """Bars exist, each valid, oldest first."""
    require(said["bars"], "no bar in the last five minutes, although quotes arrive every second")
    for bar in said["bars"]:
        _ordered(bar["t"], bar["l"], bar["o"], bar["c"], bar["h"])
        require(bar["n"] >= 1, f"bar {bar['t']} has no quotes")
    starts = [bar["t"] for bar in said["bars"]]
    require(starts == sorted(set(starts)), f"bars are not in order of time: {starts}")


def bars_of(instrument_id: int) -> Check:
    """An instrument's bars are among those of several."""
    return lambda said: bars({"bars": said["bars"][str(instrument_id)]})


def streams(instrument_id: int) -> Check:
    """A stream begins with a bar of an instrument, and continues live."""
    return lambda said: bars({"bars": [_first_of_stream(said, "bar", instrument_id)]})


def streams_quotes(instrument_id: int) -> Check:
    """A stream begins with a quote of an instrument, and continues live."""

    def check(said: Any) -> None:
        quote = _first_of_stream(said, "quote", instrument_id)
        require(quote["price"] > 0 and quote["ts"] > 0, f"not a quote: {quote}")

    return check


def _first_of_stream(said: Any, name: str, instrument_id: int) -> Any:
    events = [event.splitlines() for event in said.split("\n\n") if "event: " in event]
    same("the events", [event[0].removeprefix("event: ") for event in events], [name, "live"])
    require(events[-1][-1].startswith("id: "), "the last event has no id")
    first = json.loads(events[0][1].removeprefix("data: "))
    same("the instrument", first["instrument_id"], instrument_id)
    return first


def _ordered(when: object, low: float, open_: float, close: float, high: float) -> None:
    fits = 0 < low <= min(open_, close) <= max(open_, close) <= high
    require(fits, f"bar {when}: low {low}, open {open_}, close {close}, high {high}")


def predicted(said: Any) -> None:
    """There are up to ten different instruments, in the first version's form."""
    items = said["predicted_items"]
    require(items, "the list is empty")
    require(len(items) <= 10 and len(set(items)) == len(items), f"not ten different: {items}")


def scored(said: Any) -> None:
    """There are items, best first."""
    scores = [item["score"] for item in said["items"]]
    require(scores, "the list is empty")
    require(scores == sorted(scores, reverse=True), f"the best do not come first: {scores}")


def moved(said: Any) -> None:
    """There are movers, the greatest change first."""
    changes = [mover["change"] for mover in said["movers"]]
    require(said["as_of"], "no prices are known")
    require(changes == sorted(changes, reverse=True), f"the greatest is not first: {changes}")


def of_each(users: list[str]) -> Check:
    """There are items of each user, in the users' order."""

    def check(said: Any) -> None:
        same("the users", [one["user_id"] for one in said["recommendations"]], users)
        for one in said["recommendations"]:
            scored(one)

    return check


def because_of(instrument_id: int) -> Check:
    """There are items, the first one because of an instrument."""

    def check(said: Any) -> None:
        scored(said)
        require(said["source"] != "popular", "the event just published does not count yet")
        because = said["items"][0]["because"]
        require(instrument_id in because, f"because of {because}, not {instrument_id}")

    return check


def describes(said: Any) -> None:
    """An instrument has a symbol and a name."""
    require(said["symbol"] and said["name"], "it has no symbol or no name")


def serves(said: Any) -> None:
    """A generation is named."""
    require(said["generation"], "no generation is named")


def kafka_is_ok(said: Any) -> None:
    """Kafka reports the topics."""
    same("kafka", said["kafka"], "ok")


def counts_requests(said: Any) -> None:
    """Requests are counted."""
    require("api_requests_total{" in said, "no request is counted")
