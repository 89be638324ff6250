"""Every value of the matrix has run: on its stack, with today's clock, seen in right answers.

`make test-slow` starts the stacks of `ORDINARY`; `TICKREC_TEST_MATRIX=all` starts all of them.
"""

import contextlib
import os
from collections.abc import Iterator

import pytest

from tests.guarded import Guarded
from tests.settings.bare import default_servers
from tests.settings.matrix import MATRIX, ORDINARY, STACKS
from tests.settings.rows import Row
from tests.settings.stack import Servers, Stack

pytestmark = pytest.mark.stack

OF_USERS = ("KAFKA_SSL", "KAFKA_SASL", "KAFKA_SECURITY")
STARTED = tuple(STACKS) if os.environ.get("TICKREC_TEST_MATRIX") == "all" else ORDINARY


def by_stack() -> list[Row]:
    """Return the rows that are seen, stack by stack, with what disturbs a stack at its end."""
    seen = [row for row in MATRIX if row.seen and row.stack in STARTED]
    return sorted(seen, key=lambda row: (STARTED.index(row.stack), hasattr(row.seen, "comes_last")))


@pytest.fixture(scope="module")
def stack(
    request: pytest.FixtureRequest,
    broker: str,
    users: Guarded | None,
    store_url: str,
    cluster_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    """A stack by its name, with its first lists served."""
    folder = tmp_path_factory.mktemp(request.param)
    with contextlib.ExitStack() as owned:
        servers = Servers(broker, store_url, cluster_url, users)
        if request.param == "bare":
            servers = owned.enter_context(default_servers(cluster_url, folder))
        matrix = [row for row in MATRIX if users or not row.setting.startswith(OF_USERS)]
        yield owned.enter_context(Stack(request.param, matrix, servers, folder).running())


@pytest.mark.parametrize(
    ("stack", "row"),
    [pytest.param(row.stack, row, id=str(row)) for row in by_stack()],
    indirect=["stack"],
    scope="module",
)
def test_a_value_is_in_force(stack: Stack, row: Row) -> None:
    if row not in stack.matrix:
        pytest.skip("the broker knows no users")
    assert row.seen
    row.seen(stack, row)
