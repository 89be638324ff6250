"""The API as a process, on a filled store and a broker.

- `api` (function): `python -m api`, whose topics are empty, and what it must answer.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis

from contracts.keyspace import Keyspace
from runtime.redis.stores import connect
from runtime.topology import Topology
from tests.fuzz.served import PARTITIONS, Served, fill, served


@pytest.fixture
def api(
    topics: Callable[..., Topology], store_url: str, broker: str, namespace: str, tmp_path: Path
) -> Iterator[Served]:
    topics(**PARTITIONS)
    with connect(store_url, "tests") as store:
        assert isinstance(store, Redis)
        fill(store, Keyspace(namespace))
    with served(tmp_path, store_url, broker, namespace) as api:
        yield api
