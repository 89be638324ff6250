"""A worker that does not get on, while its servers are well, ends, so that it is started again."""

import pytest

from infra.local.process import free_port, start, stop
from tests.integration.conftest import WAIT_S, Pipeline

pytestmark = [pytest.mark.integration, pytest.mark.proof]


def test_a_worker_that_is_stuck_says_so_and_ends_though_its_threads_hang(
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
