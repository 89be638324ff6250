"""The server keeps its rules whatever is sent: by its OpenAPI document, and outside of it.

`make fuzz` does the same with more requests.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
from redis import Redis

from contracts.keyspace import Keyspace
from infra.local.process import LOOPBACK, Command, Server, free_port, running
from runtime.redis.stores import connect
from runtime.topology import Topology
from tests.api.conftest import TOPOLOGY
from tests.fuzz.cases import cases
from tests.fuzz.request import KEY
from tests.fuzz.run import run
from tests.fuzz.served import Served, fill
from tests.patience import answers

CASES: Final = int(os.environ.get("FUZZ_CASES", "1500"))
EXAMPLES: Final = os.environ.get("FUZZ_EXAMPLES", "10")
SEED: Final = os.environ.get("FUZZ_SEED")
_FOLDER: Final = Path(__file__).parent
_STREAMED: Final = ("quotes", "interactions", "cooccurrences")


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def api(
    topics: Callable[..., Topology],
    store_url: str,
    broker: str,
    namespace: str,
    tmp_path: Path,
    port: int,
) -> Iterator[Served]:
    """`python -m api` with a key, on a filled store and empty topics."""
    topics(**{name: getattr(TOPOLOGY, name) for name in _STREAMED})
    with connect(store_url, "tests") as store:
        assert isinstance(store, Redis)
        fill(store, Keyspace(namespace))
    served = Served(f"http://{LOOPBACK}:{port}", tmp_path / "api.log")
    settings = {
        "API_PORT": str(port),
        "API_KEYS": f"other,{KEY.decode()}",
        "REDIS_URL": store_url,
        "KAFKA_BOOTSTRAP_SERVERS": broker,
        "NAMESPACE": namespace,
    }
    command = Command("api", (sys.executable, "-m", "tests.api.patient"), served.log, settings)
    ready = f"{served.address}/health/ready"
    with running(Server(command, served.address, "api", lambda: answers(ready))):
        served.check()
        yield served


async def test_whatever_is_sent_is_answered_by_the_rules_and_harms_no_later_answer(
    api: Served, port: int, seed: int
) -> None:
    found, answers_by_status = await run(port, cases(int(SEED or seed), CASES))
    print(sorted(answers_by_status.items()))
    assert not found, "\n".join(found)
    assert answers_by_status.total() > CASES
    api.check()


@pytest.mark.slow
def test_the_server_keeps_what_its_openapi_document_says(api: Served) -> None:
    """Schemathesis with all of its checks; without a seed, the same requests in each run."""
    ended = subprocess.run(
        (
            *(sys.executable, "-m", "schemathesis.cli", "--config-file"),
            *(str(_FOLDER / "schemathesis.toml"), "run", f"{api.address}/openapi.json"),
            *("--checks", "all", "--header", f"X-API-Key: {KEY.decode()}", "--no-color"),
            *("--continue-on-failure", "--seed", SEED or "1", "--max-examples", EXAMPLES),
        ),
        cwd=_FOLDER.parents[1],  # where the hooks can be imported from
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    print(ended.stdout)
    assert ended.returncode == 0
    assert "Stateful" in ended.stdout
    api.check()
