"""Problems found in the topic of closed bars, on logs short enough to work out by hand."""

import json
from typing import Any

from contracts.bars import FIELDS
from contracts.log_position import LogPosition
from contracts.times import MINUTE_S
from contracts.topics import BARS, QUOTES
from tests.chaos.log import Log, Record
from tests.chaos.modes import CLOSE_AFTER_S, RETENTION_MINUTES
from tests.chaos.truth.closed_bars import closed_by, wrong_closed_bars
from tests.oracles.bars import Placed, value_of

from .test_truth import log_of, marked, quote, records_of

CLOSES = quote((MINUTE_S + CLOSE_AFTER_S) * 1000, 9, 0)
"""It closes the first minute."""


def published(*bars: dict[str, Any]) -> list[Record]:
    return [Record(n, json.dumps(bar).encode(), {}) for n, bar in enumerate(bars)]


def bar(revision: int, price: float, n: int) -> dict[str, Any]:
    """The bar of the first minute, of n quotes at second 0, each of a price and of size 1."""
    quotes = [Placed(0, LogPosition(0, at), price, 1) for at in range(n)]
    values = {letter: value_of(field, quotes) for letter, field in FIELDS.items()}
    return {"instrument_id": 4, "t": 0, **values, "revision": revision}


def said_of(log: Log, *bars: dict[str, Any], closed_s: int = 0) -> list[str]:
    log.records[BARS.name, 0] = published(*bars)
    return list(wrong_closed_bars(log, 0, closed_s))


def test_a_minute_is_closed_by_what_comes_so_long_after_its_end() -> None:
    assert closed_by(marked(CLOSES)) == 0
    assert closed_by(marked(CLOSES | {"ts": CLOSES["ts"] - 1000})) == -MINUTE_S
    assert closed_by([]) < 0


def test_the_greatest_revision_has_all_quotes_and_the_others_those_before() -> None:
    log = log_of(records_of(quote(0, 5, 1), CLOSES, quote(0, 5, 1)))
    assert said_of(log, bar(0, 5, 1), bar(2, 5, 2), bar(0, 5, 1)) == []
    assert said_of(log, bar(2, 5, 2)) == []
    assert said_of(log, bar(0, 5, 1)) == ["bars 4 0: the log says 2, the topic 0"]
    assert said_of(log) == ["bars 4 0: the log says 2, the topic -1"]


def test_a_revision_with_other_quotes_than_those_up_to_it_is_named() -> None:
    log = log_of(records_of(quote(0, 5, 1), CLOSES, quote(0, 5, 1)))
    (said,) = said_of(log, bar(0, 5, 2), bar(2, 5, 2))
    assert said.startswith("bars 4 0: at 0 the log says {")
    (said,) = said_of(log, bar(2, 5, 2), bar(3, 5, 2))
    assert said.startswith("bars 4 0: at 3 the log says None")


def test_an_open_minute_needs_no_bar_and_a_minute_that_should_be_closed_is_named() -> None:
    log = log_of(records_of(quote(0, 5, 1)))
    assert said_of(log, closed_s=-MINUTE_S) == []
    log = log_of(records_of(CLOSES))
    assert said_of(log, closed_s=-MINUTE_S) == ["bars/0: closed up to -60 only, not 0"]


def test_a_bar_that_left_its_retention_needs_the_quotes_that_were_on_time() -> None:
    much_later = quote(RETENTION_MINUTES * MINUTE_S * 1000, 9, 0)
    log = log_of(records_of(quote(0, 5, 1), much_later, quote(0, 5, 1)))
    closed = bar(0, 5, 1)
    end = {"closed_s": closed_by(marked(much_later))}
    assert said_of(log, closed, **end) == []
    assert said_of(log, bar(2, 5, 2), **end) == []
    assert said_of(log, **end) == ["bars 4 0: the log says 0, the topic -1"]


def test_bars_of_a_former_life_of_the_store_are_not_reported() -> None:
    log = log_of(records_of(quote(0, 5, 1), quote(0, 5, 1), CLOSES))
    log.was_cut((QUOTES.name, 0), 1)
    log.begin_life()
    assert said_of(log, bar(0, 5, 1)) == []
    log.was_recreated(QUOTES)
    log.records[QUOTES.name, 0] += records_of(CLOSES, making=1)
    log.begin_life()
    assert said_of(log) == []
