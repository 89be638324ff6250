"""How a worker ends: on SIGTERM with everything written, and when it is stuck."""

import signal

import pytest

from contracts.topics import INTERACTIONS
from infra.local.process import free_port, start, stop
from tests.integration.conftest import WAIT_S, Pipeline
from tests.integration.watched import counted, events, quotes

pytestmark = pytest.mark.slow


def test_a_worker_stops_cleanly_on_sigterm_and_has_written_what_it_folded(
    pipeline: Pipeline,
) -> None:
    with pipeline.worker(flush_interval_s=30) as worker:
        pipeline.publish([*quotes(400), *events(40)])
        pipeline.wait_until_folded([INTERACTIONS])
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(30) == 0
    assert counted(pipeline) == 400


def test_a_stuck_worker_reports_it_and_ends_even_if_its_threads_hang(
    pipeline: Pipeline,
) -> None:
    command = pipeline.command("worker", "tests.integration.stuck_worker", metrics_port=free_port())
    process = start(command)
    try:
        assert process.wait(WAIT_S) == 1
    finally:
        stop((process, command))
    said = command.log.read_text()
    assert "this worker is stuck" in said
    assert "though Kafka and Redis answer: ending, so that a new process is started" in said
