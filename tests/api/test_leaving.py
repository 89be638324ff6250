"""What an application leaves behind when its lifespan ends."""

import asyncio
import contextlib
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from api.health import log_ends
from infra.local.process import free_port
from runtime.kafka.config import plain
from runtime.topology import Topology
from tests.api.http import connected, serving
from tests.patience import PATIENCE_S


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows the names of threads")
async def test_no_thread_of_librdkafka_goes_on_looking_for_a_broker(
    where: dict[str, Any],
) -> None:
    before = librdkafka_threads()
    async with serving(**where) as (_, port), connected(port) as client:
        # It asks for the ends of the logs, which the producer does not.
        await client.get("/v1/pipeline")
        assert librdkafka_threads() - before
    assert librdkafka_threads() <= before


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows the names of threads")
async def test_nor_does_one_that_was_still_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_ends, "ANSWER_WITHIN_S", PATIENCE_S)
    before = librdkafka_threads()
    watch = log_ends.LogWatch(plain(f"127.0.0.1:{free_port()}"), time.monotonic)
    asking = asyncio.create_task(watch.ends(Topology(quotes=1, interactions=1, cooccurrences=1)))
    while not librdkafka_threads() - before:  # noqa: ASYNC110 (threads of a library)
        await asyncio.sleep(0.01)
    await watch.aclose()
    assert librdkafka_threads() <= before
    with contextlib.suppress(asyncio.CancelledError):
        await asking


def librdkafka_threads() -> set[str]:
    """Return the ids of this process's threads whose names are of librdkafka."""
    found = set()
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it just ended
            if (thread / "comm").read_text().startswith("rdk:"):
                found.add(thread.name)
    return found
