"""What a worker does when it restarts and Kafka or Redis have changed."""

import os
import signal
from collections.abc import Callable

import pytest

from contracts.messages import Interaction, Quote
from contracts.topics import INTERACTIONS, QUOTES
from runtime.topology import Topology
from tests.integration.conftest import Pipeline
from tests.integration.watched import BASE_MS, counted, diagonal, events, quotes
from tests.patience import eventually


def test_redis_emptied_while_the_worker_was_away_is_rebuilt_from_the_log(
    pipeline: Pipeline,
) -> None:
    pipeline.publish([*quotes(500), *events(300)])
    with pipeline.worker():
        pipeline.wait_until_folded()
    gram = pipeline.gram()
    pipeline.empty_store()
    with pipeline.worker():
        pipeline.wait_until_folded()
    assert counted(pipeline) == 500
    assert pipeline.gram() == gram


@pytest.mark.slow
def test_counts_match_the_histories_even_if_the_log_has_changes_of_an_earlier_life(
    pipeline: Pipeline,
) -> None:
    pipeline.publish(events(300))
    with pipeline.worker():
        pipeline.wait_until_folded()
    pipeline.empty_store()
    with pipeline.worker(history_cap=2):
        pipeline.wait_until_folded()
    assert pipeline.gram() == pipeline.gram_of_histories()
    assert diagonal(pipeline) == 7 * 2


@pytest.mark.slow
def test_redis_emptied_while_the_worker_runs_ends_it_and_a_new_one_rebuilds(
    pipeline: Pipeline,
) -> None:
    with pipeline.worker() as worker:
        pipeline.publish(quotes(500))
        pipeline.wait_until_folded([QUOTES])
        pipeline.wait_until_claimed()
        pipeline.empty_store()
        pipeline.publish(quotes(100))
        eventually(lambda: worker.poll() is not None, "the worker ends")
    assert worker.returncode not in (0, None)
    with pipeline.worker():
        pipeline.wait_until_folded([QUOTES])
    assert counted(pipeline) == 600


@pytest.mark.slow
def test_a_recreated_topic_is_counted_on_top_of_the_old_ones_counts(
    pipeline: Pipeline, topics: Callable[..., Topology]
) -> None:
    pipeline.publish([*quotes(300), *events(200)])
    with pipeline.worker():
        pipeline.wait_until_folded()
    topics()
    later = [Quote(instrument_id=1, price=5, ts=BASE_MS + 60_000 + k) for k in range(400)]
    pipeline.publish([*later, Interaction(user_id="new", instrument_id=999, ts=BASE_MS)])
    with pipeline.worker():
        pipeline.wait_until_folded()
    assert counted(pipeline) == 700
    assert pipeline.gram()[999, 999] == 1


@pytest.mark.slow
def test_a_worker_paused_during_its_replacement_changes_nothing(pipeline: Pipeline) -> None:
    with pipeline.worker() as zombie:
        pipeline.publish([*quotes(200), *events(100)])
        pipeline.wait_until_folded()
        os.kill(zombie.pid, signal.SIGSTOP)
        with pipeline.worker():
            pipeline.publish([*quotes(300), *events(150)])
            pipeline.wait_until_folded()
            os.kill(zombie.pid, signal.SIGCONT)
            pipeline.publish([*quotes(100), *events(50)])
            pipeline.wait_until_folded()
    assert counted(pipeline) == 600
    assert diagonal(pipeline) == 150


@pytest.mark.slow
def test_a_worker_stops_cleanly_on_sigterm_and_has_written_what_it_folded(
    pipeline: Pipeline,
) -> None:
    with pipeline.worker(flush_interval_s=30) as worker:
        pipeline.publish([*quotes(400), *events(40)])
        pipeline.wait_until_folded([INTERACTIONS])
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(30) == 0
    assert counted(pipeline) == 400
