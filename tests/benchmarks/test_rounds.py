from benchmarks.harness.rounds import (
    Run,
    Spread,
    interleaved,
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


def test_an_engine_that_uses_two_cores_is_compared_by_what_a_core_does() -> None:
    ours = Run(1000, 1.0, {"worker": 1.0})
    as_fast_on_two_cores = Run(1000, 1.0, {"worker": 2.0})
    assert ratios([ours], [as_fast_on_two_cores]).median == 1
    assert ratios_a_core([ours], [as_fast_on_two_cores]).median == 2
