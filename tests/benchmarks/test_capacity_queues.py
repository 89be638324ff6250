"""The simulation's queues wait as queueing theory says, and more load never waits less."""

import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import simpy

from benchmarks.capacity.simulated.cores import Cores, Steps, Thread

N = 6_000
SEED = 20_211_108
SERVICE_S = 1e-3

Join = Callable[[float], simpy.Event]
Draw = Callable[[np.random.Generator], float]


def exponential(rng: np.random.Generator) -> float:
    return float(rng.exponential(SERVICE_S))


def constant(_: np.random.Generator) -> float:
    return SERVICE_S


def mean_sojourn_s(join: Join, env: simpy.Environment, per_s: float, draw: Draw) -> float:
    """Let N jobs come at random moments; return the mean time from coming to leaving."""
    print(f"seed {SEED}")
    rng, took_s = np.random.default_rng(SEED), list[float]()

    def job(seconds: float) -> Steps:
        came_s = env.now
        yield join(seconds)
        took_s.append(env.now - came_s)

    def come() -> Iterator[simpy.Event]:
        for _ in range(N):
            yield env.timeout(rng.exponential(1 / per_s))
            env.process(job(draw(rng)))

    env.process(come())
    env.run()
    return float(np.mean(took_s))


def fifo(env: simpy.Environment) -> Join:
    return Thread(Cores(env, 1)).run


def shared(env: simpy.Environment, cores: int) -> Join:
    return Cores(env, cores).work


@pytest.mark.parametrize("load", [0.3, 0.6])
def test_a_thread_with_exponential_work_waits_as_m_m_1(load: float) -> None:
    env = simpy.Environment()
    theory_s = SERVICE_S / (1 - load)
    found_s = mean_sojourn_s(fifo(env), env, load / SERVICE_S, exponential)
    assert found_s == pytest.approx(theory_s, rel=0.08)


@pytest.mark.parametrize("load", [0.3, 0.6])
def test_a_thread_with_constant_work_waits_as_m_d_1(load: float) -> None:
    env = simpy.Environment()
    theory_s = SERVICE_S * (1 + load / (2 * (1 - load)))  # Pollaczek and Khinchine
    found_s = mean_sojourn_s(fifo(env), env, load / SERVICE_S, constant)
    assert found_s == pytest.approx(theory_s, rel=0.05)


def test_waits_on_a_shared_core_do_not_depend_on_the_distribution_of_work() -> None:
    load = 0.6
    for draw in (constant, exponential):
        env = simpy.Environment()
        found_s = mean_sojourn_s(shared(env, 1), env, load / SERVICE_S, draw)
        assert found_s == pytest.approx(SERVICE_S / (1 - load), rel=0.08)


def test_two_cores_that_are_shared_wait_as_m_m_2() -> None:
    env, load = simpy.Environment(), 0.6
    # Erlang's C for two servers is 2 load^2 / (1 + load).
    theory_s = SERVICE_S * (1 + 2 * load**2 / (1 + load) / (2 * (1 - load)))
    found_s = mean_sojourn_s(shared(env, 2), env, 2 * load / SERVICE_S, exponential)
    assert found_s == pytest.approx(theory_s, rel=0.06)


def test_three_threads_on_two_cores_take_half_as_long_again() -> None:
    env = simpy.Environment()
    cores = Cores(env, 2)
    jobs = [Thread(cores).run(2.0) for _ in range(3)]
    env.run(simpy.AllOf(env, jobs))
    assert env.now == pytest.approx(3.0)
    assert cores.busy_s == pytest.approx(6.0)


def test_a_thread_does_one_job_at_a_time_though_there_are_more_cores() -> None:
    env = simpy.Environment()
    thread = Thread(Cores(env, 8))
    first, last = thread.run(1.0), thread.run(2.0)
    env.run(first)
    assert env.now == pytest.approx(1.0)
    env.run(last)
    assert env.now == pytest.approx(3.0)


def test_a_sleeping_thread_takes_a_while_to_wake_and_uses_no_core_until_then() -> None:
    env = simpy.Environment()
    cores = Cores(env, 1)
    thread = Thread(cores, wake_s=0.5)
    both = [thread.run(1.0), thread.run(1.0)]
    env.run(simpy.AllOf(env, both))
    assert env.now == pytest.approx(2.5)
    assert cores.busy_s == pytest.approx(2.0)


def test_more_load_waits_longer() -> None:
    waits = []
    for load in (0.3, 0.6, 0.9):
        env = simpy.Environment()
        waits.append(mean_sojourn_s(fifo(env), env, load / SERVICE_S, exponential))
    assert waits == sorted(waits)
    assert math.isfinite(waits[-1])
