"""The peers fold what they say, and Flink writes where the Python ones do."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.harness.contender import ContenderError
from benchmarks.peers.engines import Engine, program
from benchmarks.peers.quotes import Bar, decode
from contracts.messages import Quote, encode


@given(st.lists(st.tuples(st.floats(1, 1e3), st.floats(0, 1e3)), min_size=1))
def test_a_bar_is_what_its_quotes_come_to(quotes: list[tuple[float, float]]) -> None:
    first = quotes[0][0]
    bar = Bar(first, first, first, first)
    for price, size in quotes:
        bar.fold(price, size)
    prices = [price for price, _ in quotes]
    assert (bar.o, bar.h, bar.l, bar.c) == (prices[0], max(prices), min(prices), prices[-1])
    assert (bar.v, bar.n) == (sum(size for _, size in quotes), len(quotes))
    assert bar.pv == sum(price * size for price, size in quotes)


def test_the_peers_read_the_quotes_that_ours_reads() -> None:
    quote = Quote(instrument_id=4, price=30.72, size=100, ts=1_629_061_628_123)
    its = decode(encode(quote))
    assert (its.instrument_id, its.price, its.size, its.ts) == (4, 30.72, 100, quote.ts)


def test_flink_reports_a_missing_jdk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ContenderError, match="no javac on PATH: install a JDK of 17 or newer"):
        program(Engine.FLINK, tmp_path)
