from hypothesis import given
from hypothesis import strategies as st

from benchmarks.harness.rounds import (
    Run,
    Spread,
    busy_neighbors,
    cpu_us_a_record,
    interleaved,
    rates,
    ratios,
    ratios_a_core,
)


def run(rate: float, seconds: float = 2.0) -> Run:
    return Run(round(rate * seconds), seconds, {"worker": 1.0, "others": 0.5})


def test_each_contender_runs_once_a_round_and_is_first_in_turn() -> None:
    order: list[str] = []

    def contender(name: str) -> Run:
        order.append(name)
        return run(1)

    said: list[tuple[int, str]] = []
    runs = interleaved(
        {"a": lambda: contender("a"), "b": lambda: contender("b")},
        3,
        lambda number, name, _: said.append((number, name)),
    )
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert [name for _, name in said] == order
    assert {name: len(its) for name, its in runs.items()} == {"a": 3, "b": 3}


def test_a_ratio_is_taken_within_a_round() -> None:
    # The machine was half as fast in the second round, for both of them.
    assert ratios([run(1000), run(500), run(900)], [run(100), run(50), run(100)]) == Spread(
        median=10.0, least=9.0, greatest=10.0
    )


def test_contenders_with_different_numbers_of_records_are_compared_by_rate() -> None:
    assert ratios([run(1000, 4)], [run(100, 1)]).median == 10


def test_cpu_time_is_reported_by_record() -> None:
    assert cpu_us_a_record([run(1000), run(1000), run(2000)])["worker"] == 500


def test_an_engine_that_uses_two_cores_is_compared_by_what_a_core_does() -> None:
    ours = Run(1000, 1.0, {"worker": 1.0})
    as_fast_on_two_cores = Run(1000, 1.0, {"worker": 2.0})
    assert ratios([ours], [as_fast_on_two_cores]).median == 1
    assert ratios_a_core([ours], [as_fast_on_two_cores]).median == 2


def test_neighbors_are_reported_in_cores() -> None:
    assert busy_neighbors([run(1, seconds=2.0), run(1, seconds=1.0)]) == Spread(0.375, 0.25, 0.5)


@given(st.lists(st.floats(1, 1e6), min_size=1, max_size=9))
def test_the_median_lies_between_least_and_greatest(values: list[float]) -> None:
    spread = Spread.of([Run(1000, 1000 / value, {}).rate for value in values])
    assert spread.least <= spread.median <= spread.greatest
    assert rates([Run(1000, 1000 / value, {}) for value in values]) == spread
