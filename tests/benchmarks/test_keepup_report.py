"""A report of `keepup` has all that its verdict rests on, and the verdict hides nothing."""

from benchmarks.harness.report import Servers
from benchmarks.keepup.publisher import Load
from benchmarks.keepup.report import Lag, Latencies, Trial, report, sliced
from tests.benchmarks.reported import shown

CPU = {"worker": 3.0, "api": 1.0, "publisher": 1.0, "broker": 2.0, "store": 1.0, "others": 0.5}
SERVERS = Servers("Apache Kafka 4", "Valkey 9")


def trial(
    quotes_per_s: int = 50_000,
    late_s: float = 0.0,
    latency_s: tuple[float, ...] = (0.5, 0.9, 1.1),
    growth: float = 0.001,
    unreadable: int = 0,
) -> Trial:
    lag = Lag(start_s=0.6, middle_s=0.7, end_s=0.6, max_s=1.3, growth=growth)
    return Trial(
        Load(20, quotes_per_s),
        Latencies.of(latency_s),
        sliced([1.0, 2.0, 12.0], latency_s, 10),
        lag,
        CPU,
        {"records": 1_010_000, "most_late_s": late_s, "late_at_end_s": late_s},
        {"looks": 800, "look_every_s": 0.02, "refused": 0, "unreadable": unreadable},
    )


def test_a_verdict_hides_nothing() -> None:
    text = shown(report([trial(latency_s=(1, 2, 12), growth=0.4, unreadable=1)], SERVERS))
    assert "p99 12.00 s, above 1.5 s; the lag grows" in text
    assert "1 quotes were never readable" in text


def test_a_slow_publisher_is_reported() -> None:
    assert trial().is_punctual
    text = shown(report([trial(late_s=3.0)], SERVERS))
    assert "the publisher was too slow for this rate" in text
