"""What the recomputation counts and finds wrong, on logs short enough to work out by hand.

That folds agree with `tests.oracles`, by which it computes bars and histories, their own tests say.
"""

import json
import math
from typing import Any

import pytest

from contracts.bars import FIELDS
from contracts.keyspace import Keyspace
from contracts.log_position import LogPosition
from contracts.times import MINUTE_S
from contracts.topics import BARS, INTERACTIONS, QUOTES
from runtime.topology import Topology
from tests.chaos.log import Log, Mark, Record
from tests.chaos.modes import CLOSE_AFTER_S, RETENTION_MINUTES
from tests.chaos.recount import tolerant, with_sums_apart
from tests.chaos.truth.closed_bars import closed_by, wrong_closed_bars
from tests.chaos.truth.expected import Near, Run, differences, expected_values
from tests.chaos.truth.messages import Marked, expected_dead_letters
from tests.oracles.bars import Placed, value_of

LATER_MS = 2**53
"""When the broker took a record: after its event time."""
ONE = Topology(quotes=1, interactions=1, cooccurrences=1)


def quote(ts: int, price: float, size: float) -> dict[str, Any]:
    return {"instrument_id": 4, "price": price, "size": size, "ts": ts}


def event(user: str, item: int, ts: int) -> dict[str, Any]:
    return {"user_id": user, "instrument_id": item, "ts": ts}


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


def test_a_record_that_is_no_message_is_a_dead_letter_and_counts_nowhere() -> None:
    log = log_of(records_of(b"", quote(0, 1, 1), b'{"instrument_id":-1}', b"\xff"))
    assert expected_dead_letters(log, ONE) == {("quotes", 0, n) for n in (0, 2, 3)}
    values = expected_values(Run(log, Keyspace("n"), ONE))
    assert values["n:bars:{q0}:4", "0"]["n"] == 1


def test_a_recreated_topic_counts_on_top_under_the_next_incarnation() -> None:
    former, newer = records_of(quote(0, 1, 1)), records_of(quote(0, 1, 1), making=1)
    bar = expected_values(Run(log_of(former + newer), Keyspace("n"), ONE))["n:bars:{q0}:4", "0"]
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


def test_a_difference_beyond_the_tolerance_of_sums_names_the_key_and_both_values() -> None:
    ours, theirs = {("k", "same"): 1, ("k", "x"): 2}, {("k", "same"): 1, ("k", "y"): 3}
    said = list(differences(ours, theirs))
    assert said == ["k x: the log says 2, Redis has None", "k y: the log says None, Redis has 3"]
    tolerant = {("k", "x"): Near(2.0, 0.1), ("k", "gone"): Near(0.0, 0.1)}
    assert not list(differences(tolerant, {("k", "x"): 2.05, ("k", "gone"): -0.05}))
    assert len(list(differences(tolerant, {("k", "x"): 2.2, ("k", "gone"): 0.2}))) == 2


BAR = {"o": 1.1, "c": 2.2, "n": 3, "pv": 0.1 + 0.2 + 0.3}
"""of prices whose sum depends on the order by its last bits"""


@pytest.mark.parametrize(
    ("stored", "n"),
    [
        ({"pv": math.nextafter(BAR["pv"], math.inf)}, 0),
        *(
            ({name: value}, 1)
            for name, value in (("pv", 0.61), ("c", math.nextafter(2.2, 3)), ("n", 4))
        ),
    ],
)
def test_of_a_running_stacks_bars_only_sums_may_differ_in_their_last_bits(
    stored: dict[str, float], n: int
) -> None:
    bar = ("live:bars:{q0}:4", "60")
    expected = tolerant({bar: BAR})
    assert len(list(differences(expected, with_sums_apart({bar: BAR | stored})))) == n


CLOSES = quote((MINUTE_S + CLOSE_AFTER_S) * 1000, 9, 0)
"""It closes the first minute."""


def bar(revision: int, price: float, n: int) -> dict[str, Any]:
    """The bar of the first minute, of n quotes at second 0, each of a price and of size 1."""
    quotes = [Placed(LogPosition(0, at), quote(0, price, 1)) for at in range(n)]
    values = {letter: value_of(field, quotes) for letter, field in FIELDS.items()}
    return {"instrument_id": 4, "t": 0, **values, "revision": revision}


def said_of(log: Log, *bars: dict[str, Any], closed_s: int = 0) -> list[str]:
    values = (json.dumps(bar).encode() for bar in bars)
    log.records[BARS.name, 0] = [Record(n, value, {}) for n, value in enumerate(values)]
    return list(wrong_closed_bars(log, 0, closed_s))


def test_a_minute_is_closed_by_what_comes_so_long_after_its_end() -> None:
    assert closed_by(marked(CLOSES)) == 0
    assert closed_by(marked(CLOSES | {"ts": CLOSES["ts"] - 1000})) == -MINUTE_S
    assert closed_by([]) < 0


ONCE = quote(0, 5, 1)
TWICE = [ONCE, CLOSES, ONCE]
MUCH_LATER = quote(RETENTION_MINUTES * MINUTE_S * 1000, 9, 0)
LEFT, END_S = [ONCE, MUCH_LATER, ONCE], closed_by(marked(MUCH_LATER))


@pytest.mark.parametrize(
    ("quotes", "bars", "closed_s", "says"),
    [
        # The greatest revision has all quotes, and the others those before.
        (TWICE, [bar(0, 5, 1), bar(2, 5, 2), bar(0, 5, 1)], 0, ""),
        (TWICE, [bar(2, 5, 2)], 0, ""),
        (TWICE, [bar(0, 5, 1)], 0, "bars 4 0: the log says 2, the topic 0"),
        (TWICE, [], 0, "bars 4 0: the log says 2, the topic -1"),
        (TWICE, [bar(0, 5, 2), bar(2, 5, 2)], 0, "bars 4 0: at 0 the log says {"),
        (TWICE, [bar(2, 5, 2), bar(3, 5, 2)], 0, "bars 4 0: at 3 the log says None"),
        # An open minute needs no bar.
        ([ONCE], [], -MINUTE_S, ""),
        ([CLOSES], [], -MINUTE_S, "bars/0: closed up to -60 only, not 0"),
        # A bar that left its retention needs the quotes that were on time.
        (LEFT, [bar(0, 5, 1)], END_S, ""),
        (LEFT, [bar(2, 5, 2)], END_S, ""),
        (LEFT, [], END_S, "bars 4 0: the log says 0, the topic -1"),
    ],
)
def test_a_closed_bar_that_is_missing_or_of_other_quotes_is_named(
    quotes: list[dict[str, Any]], bars: list[dict[str, Any]], closed_s: int, says: str
) -> None:
    said = said_of(log_of(records_of(*quotes)), *bars, closed_s=closed_s)
    assert len(said) == bool(says)
    assert "".join(said).startswith(says)


def test_bars_of_a_former_life_of_the_store_are_not_reported() -> None:
    log = log_of(records_of(quote(0, 5, 1), quote(0, 5, 1), CLOSES))
    log.was_cut((QUOTES.name, 0), 1)
    log.begin_life()
    assert said_of(log, bar(0, 5, 1)) == []
    log.was_recreated(QUOTES)
    log.records[QUOTES.name, 0] += records_of(CLOSES, making=1)
    log.begin_life()
    assert said_of(log) == []
