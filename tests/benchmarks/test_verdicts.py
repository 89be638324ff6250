import io

import msgspec
from rich.console import Console

from benchmarks.keepup import Highest, Load, Trial
from benchmarks.latency import Lag
from benchmarks.prober import Probed
from benchmarks.traffic import Published
from benchmarks.verdicts import HighestRate, Kept

CPU = {"worker": 3.0, "api": 1.0, "publisher": 1.0, "broker": 2.0, "store": 1.0, "others": 0.5}


def trial(
    quotes_per_s: int = 50_000,
    late_s: float = 0.0,
    latency_s: tuple[float, ...] = (0.5, 0.9, 1.1),
    growth: float = 0.001,
    unreadable: int = 0,
) -> Trial:
    return Trial(
        Load(20, 1, quotes_per_s),
        Published(0, [0.0], [0], 1_010_000, 0, most_late_s=late_s, late_at_end_s=late_s),
        Probed([1.0, 2.0, 12.0], list(latency_s), unreadable, 800, 0, look_every_s=0.02),
        Lag(start_s=0.6, middle_s=0.7, end_s=0.6, max_s=1.3, growth=growth),
        CPU,
    )


def shown(result: Kept | HighestRate) -> str:
    out = io.StringIO()
    result.show(Console(file=out, width=120))
    return out.getvalue()


def test_a_load_is_one_line_of_json_with_latencies_lag_and_cpu() -> None:
    (line,) = Kept([trial()], "Apache Kafka 4", "Valkey 9").lines().splitlines()
    said = msgspec.json.decode(line)
    assert (said["name"], said["value"], said["baseline"]) == ("keepup", 1.1, "the clock")
    assert said["ratio"] == 0.73
    assert said["spread"] == {"value": [1.1, 1.1], "slices": [0.9, 1.1]}
    assert said["keeps_up"] is True
    (one,) = said["trials"]
    assert one["latency"] == {"count": 3, "p50_s": 0.9, "p99_s": 1.1, "max_s": 1.1}
    assert [its["count"] for its in one["latency_slices"]] == [2, 1]
    assert one["lag"]["end_s"] == 0.6
    assert one["cpu_s"] == CPU
    assert said["machine"].keys() == {"cpu", "cores", "system"}


def test_rounds_have_a_spread() -> None:
    said = msgspec.json.decode(Kept([trial(), trial(latency_s=(1, 1, 1.5))], "", "").lines())
    assert said["spread"]["value"] == [1.1, 1.5]
    assert said["rounds"] == 2


def test_a_table_shows_latencies_by_time_the_lag_the_cores_and_the_verdict() -> None:
    text = shown(Kept([trial()], "Apache Kafka 4", "Valkey 9"))
    for part in ("from second 10", "0.90 s", "+0.001 s/s", "yes", "0.15", "Apache Kafka 4"):
        assert part in text
    assert "p99 1.10 s, below 1.5 s; the lag does not grow; looked every 20 ms" in text


def test_a_verdict_hides_nothing() -> None:
    text = shown(Kept([trial(latency_s=(1, 2, 12), growth=0.4, unreadable=1)], "", ""))
    assert "p99 12.00 s, above 1.5 s; the lag grows" in text
    assert "1 quotes were never readable" in text


def test_a_publisher_that_is_too_slow_does_not_make_a_worker_keep_up() -> None:
    assert trial().keeps_up
    assert not trial(late_s=3.0).keeps_up
    late = HighestRate(Highest(50_000, 55_000), [trial(), trial(55_000, late_s=3.0)], "", "")
    assert "the publisher itself was too slow for 55,000 quotes/s" in shown(late)


def test_the_highest_rate_is_told_with_the_one_that_was_too_much() -> None:
    found = HighestRate(Highest(50_000, 55_000), [trial(55_000, growth=0.3), trial()], "", "")
    said = msgspec.json.decode(found.lines())
    assert (said["value"], said["spread"]["value"]) == (50_000, [50_000, 55_000])
    assert [one["keeps_up"] for one in said["trials"]] == [False, True]
    assert "50,000 quotes/s were kept up with, 55,000 were not" in shown(found)
