"""The other clients of a flood keep to their schedule, and the result is reported in full."""

import asyncio
import io
from collections.abc import Iterator

import msgspec
import pytest
from rich.console import Console

from benchmarks import memory
from benchmarks.flood import scenario
from benchmarks.flood.flooders import Flood, Flooded
from benchmarks.flood.others import RATES, Heard, Kind
from benchmarks.flood.scenario import Phase
from benchmarks.harness import stage as stages
from benchmarks.harness.asking import Answer, Connection
from benchmarks.harness.report import Report
from benchmarks.harness.stage import Stage, staged

SECONDS = 2


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """What is looked at here is what is counted, not how fast it is: there is time."""
    python = stages.python
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            stages, "python", lambda name: python("tests.api.patient" if name == "api" else name)
        )
        with staged(tmp_path_factory.mktemp("flood")) as stage:
            yield stage


def shown(report: Report) -> str:
    out = io.StringIO()
    report.show(Console(file=out, width=200))
    return out.getvalue()


@pytest.mark.proof
def test_all_requests_of_the_others_are_accounted_for_in_each_phase(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scenario, "_WARM_UP_S", 2)
    report = scenario.measure(stage, rounds=1, seconds=SECONDS, kinds=[Flood.STREAMS])
    quiet, streams = report.figures
    assert (quiet["name"], streams["name"]) == ("flood: quiet", "flood: streams")
    for kind, rate in RATES.items():
        (of_quiet,) = quiet["latency"][kind]
        assert of_quiet["count"] == rate * SECONDS
    (flooded,) = streams["flood"]
    assert flooded["refused"] > 0
    assert 0 < flooded["open_most"] <= 300
    assert "streams: newcomers" in shown(report)
    assert all(msgspec.json.decode(line) for line in report.lines().splitlines())


@pytest.mark.proof
def test_each_user_is_answered_and_the_memory_is_reported_ten_times(stage: Stage) -> None:
    report = memory.measure(stage, users=200)
    (figures,) = report.figures
    assert [look["users"] for look in figures["looks"]] == [*range(0, 201, 20)]
    assert all(look["rss_mb"] > 10 for look in figures["looks"])
    assert "recommendations to 200 users, n=100" in shown(report)


def test_memory_is_flat_if_it_stays_at_what_it_was_after_the_first_tenth() -> None:
    looks = [memory.Look(0, 90.0), memory.Look(10, 300.0)]
    assert memory.is_flat([*looks, memory.Look(20, 310.0), memory.Look(30, 305.0)])
    assert not memory.is_flat([*looks, memory.Look(20, 310.0), memory.Look(30, 320.0)])


def heard(latency_s: float, *, refused: int = 0, lost: int = 0) -> Heard:
    return Heard([latency_s] * 100, [0.0], refused, lost)


@pytest.mark.proof
@pytest.mark.parametrize(
    ("reads", "verdict"),
    [
        (heard(0.049), "held"),
        (heard(0.051), "failed: quiet"),
        (heard(0.01, refused=1), "failed: quiet"),
        (heard(0.01, lost=1), "failed: quiet"),
    ],
)
def test_a_phase_fails_by_late_refused_or_lost_requests(
    stage: Stage, reads: Heard, verdict: str
) -> None:
    others: dict[Kind, Heard] = {"reads": reads, "newcomers": heard(1.0), "writes": heard(1.0)}
    cores = {"api": 0.5, "store": 0.1, "others": 0.0}
    phase = Phase(others, Flooded(), cores, 100.0)
    assert verdict in shown(scenario.report_of(stage, {"quiet": [phase]}, 1, SECONDS))


def test_an_answer_may_come_in_pieces() -> None:
    answers: list[Answer] = []

    async def take() -> None:
        connection = Connection(lambda _, answer: answers.append(answer))
        whole = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
        for piece in (whole[:20], whole[20:41], whole[41:], whole, whole[:38], whole[38:]):
            connection.data_received(piece)
        connection.data_received(b"HTTP/1.1 304 Not Modified\r\n\r\n")

    asyncio.run(take())
    assert answers == [Answer(200, b"hello")] * 3 + [Answer(304, b"")]
