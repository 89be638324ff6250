"""The recomputation, on logs short enough to work out by hand."""

import json
from typing import Any

import pytest

from contracts.keyspace import Keyspace
from contracts.times import MINUTE_MS
from contracts.topics import INTERACTIONS, QUOTES
from runtime.topology import Topology
from tests.chaos.log import Log, Mark, Record
from tests.chaos.modes import HALF_LIFE_DAYS, TYPICAL_VALUE, USUAL, Mode
from tests.chaos.stored import differences
from tests.chaos.truth.bars import bars_of
from tests.chaos.truth.expected import Expected, expected_values
from tests.chaos.truth.histories import Users
from tests.chaos.truth.messages import Marked, expected_dead_letters

DECAY_STARTS_MS = 1_577_836_800_000
HALF_LIFE_MS = int(HALF_LIFE_DAYS * 86_400_000)
LATER_MS = 2**53
"""When the broker took a record: after its event time."""
ONE = Topology(quotes=1, interactions=1, cooccurrences=1)


def quote(ts: int, price: float, size: float) -> dict[str, Any]:
    return {"instrument_id": 4, "price": price, "size": size, "ts": ts}


def event(user: str, item: int, ts: int, **more: Any) -> dict[str, Any]:
    return {"user_id": user, "instrument_id": item, "ts": ts, **more}


def marked(*messages: dict[str, Any]) -> list[Marked]:
    return [((0, offset), message) for offset, message in enumerate(messages)]


def records_of(*messages: dict[str, Any] | bytes, making: int = 0) -> list[Record]:
    values = (m if isinstance(m, bytes) else json.dumps(m).encode() for m in messages)
    return [
        Record(offset, value, {}, making=making, stamp_ms=LATER_MS)
        for offset, value in enumerate(values)
    ]


def log_of(quotes: list[Record] = [], interactions: list[Record] = []) -> Log:  # noqa: B006
    log = Log("never asked")
    log.records |= {(QUOTES.name, 0): quotes, (INTERACTIONS.name, 0): interactions}
    return log


def users_of(
    *events: dict[str, Any], mode: Mode = USUAL, cap: int = 500
) -> dict[str, dict[int, float]]:
    """Return the affinities by user and item."""
    users = folded(*events, mode=mode, cap=cap)
    return {
        user_id: {item: entry.affinity for item, entry in user.entries.items()}
        for user_id, user in users.of_id.items()
    }


def folded(*events: dict[str, Any], mode: Mode = USUAL, cap: int = 500) -> Users:
    users = Users(mode, cap)
    for mark, message in marked(*events):
        users.fold(mark, message)
    return users


def test_a_bar_opens_with_the_first_quote_by_event_time_and_at_a_tie_by_offset() -> None:
    quotes = [quote(2_000, 5, 1), quote(1_000, 7, 2), quote(1_000, 9, 3), quote(2_000, 6, 0)]
    prices = {"o": 7, "h": 9, "l": 5, "c": 6}
    sums = {"v": 6, "n": 4, "pv": 46}
    places = {"ot": 1_000, "ct": 2_000, "off": [0, 3]}
    assert bars_of(marked(*quotes)) == {4: {0: prices | sums | places}}


def test_only_the_retained_minutes_are_expected() -> None:
    log = log_of(records_of(*(quote(minute * MINUTE_MS, 1, 1) for minute in range(4))))
    expected = expected_values(log, Keyspace("n"), ONE, USUAL, retention_minutes=2)
    assert {field for _, field in expected.values} == {"newest", "120", "180"}


def test_the_item_touched_longest_ago_leaves_a_full_history() -> None:
    events = [event("A", 1, 10), event("A", 2, 20), event("A", 1, 30), event("A", 3, 25)]
    user = folded(*events, cap=2).of_id["A"]
    assert {item: entry.ts_ms for item, entry in user.entries.items()} == {1: 30, 3: 25}
    assert (user.mark, user.last_ts_ms) == ((0, 3), 30)


def test_an_event_older_than_a_full_history_moves_only_its_offset() -> None:
    events = [event("A", 1, 10), event("A", 2, 20), event("A", 3, 5)]
    user = folded(*events, cap=2).of_id["A"]
    assert {item: entry.ts_ms for item, entry in user.entries.items()} == {1: 10, 2: 20}
    assert (user.mark, user.last_ts_ms) == ((0, 2), 20)


def test_weighted_events_add_up_and_count_twice_a_half_life_later() -> None:
    later = DECAY_STARTS_MS + HALF_LIFE_MS
    events = [event("A", 1, DECAY_STARTS_MS, event="click"), event("A", 1, later, event="watch")]
    assert users_of(*events, mode=Mode(affinity="weighted")) == {"A": {1: 2 + 2 * 3}}


def test_of_greatest_affinities_the_event_that_weighs_most_counts_alone() -> None:
    later = DECAY_STARTS_MS + HALF_LIFE_MS
    watched = event("A", 1, later, event="watch")
    clicked = event("A", 1, DECAY_STARTS_MS, event="click")
    for events in ([clicked, watched], [watched, clicked, watched]):
        assert users_of(*events, mode=Mode(affinity="greatest")) == {"A": {1: 2 * 3}}
    mode = Mode(affinity="greatest", user_weight="value")
    spent = event("A", 1, later, event="watch", price=TYPICAL_VALUE, quantity=4)
    assert users_of(spent, clicked, mode=mode) == {"A": {1: 2 * 2 * 3}}


def test_by_inverse_degree_the_item_that_is_furthest_behind_is_brought_up_to_date() -> None:
    mode = Mode(user_weight="inverse-degree")
    events = [event("A", item, item) for item in range(4)]
    # The 4th event scales its own item by 4^-1/2, and the first of those that are furthest behind.
    affinities = users_of(*events, mode=mode)["A"]
    assert affinities == {0: 0.5, 1: pytest.approx(3**-0.5), 2: pytest.approx(3**-0.5), 3: 0.5}


def test_by_value_a_user_counts_by_the_root_of_the_mean_value_each_within_bounds() -> None:
    mode = Mode(user_weight="value")
    typical = event("A", 1, 1, price=TYPICAL_VALUE)
    assert users_of(typical, mode=mode) == {"A": {1: 1}}
    greater = event("A", 1, 1, price=TYPICAL_VALUE, quantity=4)
    assert users_of(greater, mode=mode) == {"A": {1: 2}}
    mistyped = event("A", 1, 1, price=TYPICAL_VALUE * 1e12)
    assert users_of(mistyped, mode=mode) == {"A": {1: pytest.approx(1_000**0.5)}}


def test_the_gram_matrix_counts_the_users_that_have_both() -> None:
    users = folded(event("A", 1, 1), event("A", 2, 1), event("B", 2, 1))
    assert users.gram() == {(1, 1): 1, (1, 2): 1, (2, 1): 1, (2, 2): 2}


def test_an_erased_user_has_nothing_until_the_next_event() -> None:
    before = [
        event("A", 1, 1),
        event("A", 2, 1),
        event("B", 2, 1),
        {"user_id": "A", "erased_at": 0},
    ]
    assert folded(*before).gram() == {(2, 2): 1}
    assert users_of(*before, event("A", 3, 2))["A"] == {3: 1}


def test_a_record_that_is_no_message_is_a_dead_letter_and_counts_nowhere() -> None:
    log = log_of(records_of(b"", quote(0, 1, 1), b'{"instrument_id":-1}', b"\xff"))
    assert expected_dead_letters(log, ONE) == {("quotes", 0, n) for n in (0, 2, 3)}
    values = expected_values(log, Keyspace("n"), ONE, USUAL).values
    assert values["n:bars:{q0}:4", "0"]["n"] == 1


def test_a_recreated_topic_counts_on_top_under_the_next_incarnation() -> None:
    former, newer = records_of(quote(0, 1, 1)), records_of(quote(0, 1, 1), making=1)
    bar = expected_values(log_of(former + newer), Keyspace("n"), ONE, USUAL).values[
        "n:bars:{q0}:4", "0"
    ]
    assert (bar["n"], bar["off"]) == (2, [1, 0])


def test_a_store_that_lost_everything_counts_what_the_log_still_has() -> None:
    log = log_of(records_of(*(quote(0, 1, 1) for _ in range(5))))
    log.was_cut((QUOTES.name, 0), 2)
    assert marks(log) == [(0, n) for n in range(5)]
    log.begin_life()
    assert marks(log) == [(0, 2), (0, 3), (0, 4)]
    log.was_recreated(QUOTES)
    log.records[QUOTES.name, 0] += records_of(quote(0, 1, 1), making=1)
    assert marks(log)[-1] == (1, 0)
    log.begin_life()
    assert marks(log) == [(0, 0)]


def marks(log: Log) -> list[Mark]:
    return [mark for mark, _ in log.counted((QUOTES.name, 0))]


def test_a_difference_names_the_key_and_both_values() -> None:
    ours, theirs = {("k", "same"): 1, ("k", "x"): 2}, {("k", "same"): 1, ("k", "y"): 3}
    said = list(differences(Expected(ours, {}), theirs))
    assert said == ["k x: the log says 2, Redis has None", "k y: the log says None, Redis has 3"]


def test_sums_of_fractions_may_differ_by_their_tolerance() -> None:
    tolerant = Expected({("k", "x"): 2.0}, {("k", "x"): 0.1, ("k", "gone"): 0.1})
    assert not list(differences(tolerant, {("k", "x"): 2.05, ("k", "gone"): -0.05}))
    assert len(list(differences(tolerant, {("k", "x"): 2.2, ("k", "gone"): 0.2}))) == 2
