"""A worker that is stalled while its servers are healthy ends, so that it is restarted."""

import pytest

from infra.local.process import free_port, start, stop
from tests.integration.conftest import WAIT_S, Pipeline

pytestmark = pytest.mark.slow


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
