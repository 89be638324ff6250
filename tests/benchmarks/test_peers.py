"""The peers fold and write what they say, and the Java ones write where the Python ones do."""

import subprocess
import sys
from pathlib import Path

import msgspec
import redis
import tenacity
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import peers
from benchmarks.bars import check_bars
from benchmarks.harness.namespace import Namespace
from benchmarks.peers.progress import (
    DONE_FIELD,
    FINISHED_FIELD,
    STARTED_FIELD,
    progress_key,
)
from benchmarks.peers.quotes import Bar, decode
from benchmarks.peers.sink import BarSink
from contracts.keyspace import Keyspace
from contracts.messages import Quote, encode
from runtime.redis.stores import connect
from runtime.topology import Topology
from tests.patience import PATIENCE_S

JVM = Path(peers.__file__).with_name("jvm")


def bar(n: int) -> Bar:
    return Bar(o=1, h=2, l=1, c=2, v=5, n=n, pv=9)


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


def test_the_newest_of_each_bar_is_written_and_then_reported(
    store_url: str, namespace: str
) -> None:
    keyspace = Keyspace(namespace)
    with redis.Redis.from_url(store_url) as client, connect(store_url, "tests") as store:
        place = Namespace(store, keyspace, Topology(8, 8, 8))
        sink = BarSink(client, namespace)
        assert place.peer_started_ms() is None
        sink.begin()
        started_ms = place.peer_started_ms()
        assert started_ms is not None
        sink.put({(4, 60): bar(1), (5, 60): bar(1)}, 2)
        sink.put({(4, 60): bar(2)}, 1)
        assert place.peer_written(1) is None
        sink.begin()
        sink.write()
        written = place.peer_written(3)
        assert written is not None
        assert written.records == 3
        assert place.peer_started_ms() == started_ms
        assert msgspec.json.decode(store.hget(keyspace.bars(0, 4), "60"), type=Bar) == bar(2)
        check_bars(place, 3)


def test_a_sink_writes_by_itself_once_it_is_started(store_url: str, namespace: str) -> None:
    keyspace = Keyspace(namespace)
    with redis.Redis.from_url(store_url) as client, connect(store_url, "tests") as store:
        sink = BarSink(client, namespace)
        sink.begin()
        sink.put({(4, 60): bar(1)}, 1)
        sink.start()
        tenacity.Retrying(
            retry=tenacity.retry_if_result(lambda written: written is None),
            stop=tenacity.stop_after_delay(PATIENCE_S),
            wait=tenacity.wait_fixed(0.02),
        )(Namespace(store, keyspace, Topology(8, 8, 8)).peer_written, 1)


def test_all_peers_write_where_the_benchmark_looks() -> None:
    source = (JVM / "RedisBars.java").read_text()
    for field in (STARTED_FIELD, DONE_FIELD, FINISHED_FIELD):
        assert f'"{field}"' in source
    keyspace = Keyspace("ns")
    assert f'"{keyspace.bars(0, 4).removeprefix("ns").removesuffix("4")}"' in source
    assert f'"{progress_key("ns").removeprefix("ns")}"' in source


def test_an_engines_environment_which_has_no_numpy_can_name_keys() -> None:
    script = "import sys; sys.modules['numpy'] = None; import benchmarks.peers.sink"
    subprocess.run([sys.executable, "-c", script], check=True)
