"""The recomputation, on logs that are short enough to work out by hand."""

import json
from typing import Any

from contracts.keyspace import Keyspace
from runtime.topology import Topology
from tests.chaos.log import Record
from tests.chaos.stored import differences
from tests.chaos.truth import bars_of, expected_dead_letters, expected_values, gram_of, histories_of

MINUTE_MS = 60_000
ONE = Topology(quotes=1, interactions=1, cooccurrences=1)


def quote(ts: int, price: float, size: float) -> dict[str, Any]:
    return {"instrument_id": 4, "price": price, "size": size, "ts": ts}


def event(user: str, item: int, ts: int) -> dict[str, Any]:
    return {"user_id": user, "instrument_id": item, "ts": ts}


def log_of(*messages: dict[str, Any] | bytes) -> list[Record]:
    values = (m if isinstance(m, bytes) else json.dumps(m).encode() for m in messages)
    return [Record(offset, value, {}) for offset, value in enumerate(values)]


def test_a_bar_opens_with_the_first_quote_by_event_time_and_at_a_tie_by_offset() -> None:
    quotes = [quote(2_000, 5, 1), quote(1_000, 7, 2), quote(1_000, 9, 3), quote(2_000, 6, 0)]
    prices = {"o": 7, "h": 9, "l": 5, "c": 6}
    sums = {"v": 6, "n": 4, "pv": 46}
    places = {"ot": 1_000, "ct": 2_000, "off": [0, 3]}
    assert bars_of(list(enumerate(quotes))) == {4: {0: prices | sums | places}}


def test_only_the_retained_minutes_are_expected() -> None:
    quotes = log_of(*(quote(minute * MINUTE_MS, 1, 1) for minute in range(4)))
    values = expected_values(
        {("quotes", 0): quotes, ("interactions", 0): []}, Keyspace("n"), ONE, 2, 500
    )
    assert {field for _, field in values} == {"newest", "120", "180"}


def test_the_item_touched_longest_ago_leaves_a_full_history() -> None:
    events = [event("A", 1, 10), event("A", 2, 20), event("A", 1, 30), event("A", 3, 25)]
    assert histories_of(list(enumerate(events)), cap=2) == {"A": ({1: 30, 3: 25}, 3, 30)}


def test_an_event_older_than_a_full_history_moves_only_its_offset() -> None:
    events = [event("A", 1, 10), event("A", 2, 20), event("A", 3, 5)]
    assert histories_of(list(enumerate(events)), cap=2) == {"A": ({1: 10, 2: 20}, 2, 20)}


def test_the_gram_matrix_counts_the_users_that_have_both() -> None:
    assert gram_of({"A": {1: 0, 2: 0}, "B": {2: 0}}) == {
        (1, 1): 1,
        (1, 2): 1,
        (2, 1): 1,
        (2, 2): 2,
    }


def test_a_record_that_is_no_message_is_a_dead_letter_and_counts_nowhere() -> None:
    records = {("quotes", 0): log_of(b"", quote(0, 1, 1), b'{"instrument_id":-1}', b"\xff")}
    records["interactions", 0] = []
    assert expected_dead_letters(records, ONE) == {("quotes", 0, n) for n in (0, 2, 3)}
    values = expected_values(records, Keyspace("n"), ONE, 60, 500)
    assert values["n:bars:{q0}:4", "0"]["n"] == 1


def test_a_difference_names_the_key_and_both_values() -> None:
    said = list(differences({("k", "same"): 1, ("k", "x"): 2}, {("k", "same"): 1, ("k", "y"): 3}))
    assert said == ["k x: the log says 2, Redis has None", "k y: the log says None, Redis has 3"]
