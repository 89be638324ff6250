"""What an application leaves behind when its lifespan ends."""

import contextlib
import sys
from pathlib import Path

import pytest

from tests.api.conftest import Filled
from tests.api.http import connected, serving


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the names of threads")
async def test_no_thread_of_librdkafka_goes_on_looking_for_a_broker(
    store_url: str, filled: Filled
) -> None:
    before = librdkafka_threads()
    settings = {"redis_url": store_url, "namespace": filled.keys.namespace}
    async with serving(**settings) as (_, port), connected(port) as client:
        # It asks for the ends of the logs, which the producer does not.
        await client.get("/v1/pipeline")
        assert librdkafka_threads() - before
    assert librdkafka_threads() <= before


def librdkafka_threads() -> set[str]:
    """Return the ids of this process's threads whose names are of librdkafka."""
    found = set()
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError):  # it has just ended
            if (thread / "comm").read_text().startswith("rdk:"):
                found.add(thread.name)
    return found
