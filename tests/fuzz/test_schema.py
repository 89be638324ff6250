"""The OpenAPI document and the server agree: schemathesis with all of its checks, on sockets."""

import pytest

from tests.fuzz.schema import schemathesis
from tests.fuzz.served import Served

pytestmark = pytest.mark.slow

SEED = 1
"""The same requests in each run; `python -m tests.fuzz` makes others."""
EXAMPLES = 10


def test_the_server_keeps_what_its_openapi_document_says(api: Served) -> None:
    print("seed", SEED)
    ended = schemathesis(api.address, SEED, EXAMPLES)
    assert ended.returncode == 0, ended.stdout
    assert "Stateful" in ended.stdout
    assert api.wrong_answers() == []
    assert api.log_complaints() == []
