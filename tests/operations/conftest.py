"""The command `python -m operations.topics`, run in this process.

- `topics_command` (function): runs it with some arguments, at the session's broker and store.
"""

from collections.abc import Callable

import pytest
from typer.testing import CliRunner, Result

from operations.topics.__main__ import app

TopicsCommand = Callable[..., Result]


@pytest.fixture
def topics_command(broker: str, store_url: str, namespace: str) -> TopicsCommand:
    settings = {
        "KAFKA_BOOTSTRAP_SERVERS": broker,
        "REDIS_URL": store_url,
        "NAMESPACE": namespace,
        "COLUMNS": "200",
    }

    def run(*arguments: str, stdin: str = "") -> Result:
        return CliRunner().invoke(app, arguments, input=stdin, env=settings)

    return run
