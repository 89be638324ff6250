"""The private names of aiokafka and Faust that the transport relies on, at the locked versions."""

import re
from importlib import import_module, metadata
from inspect import getsource
from pathlib import Path

import pytest

import stream_processors

LOCKED = {"aiokafka": "0.14.0", "faust-streaming": "0.15.3"}
IN_MODULES = {
    "aiokafka.consumer.consumer": [
        *("_auto_offset_reset", "_client", "_closed", "_coordinator", "_fetch_max_wait_ms"),
        *("_fetch_min_bytes", "_fetcher", "_isolation_level", "_max_poll_interval_ms"),
        *("_partition_assignment_strategy", "_subscription"),
    ],
    "aiokafka.consumer.group_coordinator": ["_send_req"],
    "aiokafka.consumer.subscription_state": ["_reassignment_in_progress"],
    "aiokafka.consumer.fetcher": [
        *("_closed", "_create_fetch_waiter", "_error", "_fetch_task", "_notify"),
        *("_partition_records", "_records", "_records_iterator", "_subscriptions"),
        *("_unpack_records", "_update_position", "_wait_consume_future", "_consumer_record"),
    ],
    "faust.transport.consumer": [
        *("_committed_offset", "_get_active_partitions", "_getmany", "_new_consumer_thread"),
        *("_unacked_messages", "_waiting_for_ack"),
    ],
    "faust.transport.drivers.aiokafka": [
        *("_create_worker_consumer", "_ensure_consumer", "_fetch_records"),
    ],
}
PRIVATE = re.compile(r"(?<!self)\._[a-z]\w+")


@pytest.mark.parametrize("library", LOCKED)
def test_the_version_is_the_one_whose_names_these_are(library: str) -> None:
    assert metadata.version(library) == LOCKED[library]


@pytest.mark.parametrize("module", IN_MODULES)
def test_the_library_has_the_names(module: str) -> None:
    source = getsource(import_module(module))
    assert [name for name in IN_MODULES[module] if not re.search(rf"\b{name}\b", source)] == []


def test_only_two_modules_read_private_names_and_no_others_than_these() -> None:
    known = {name for names in IN_MODULES.values() for name in names}
    readers = set()
    for path in Path(stream_processors.__path__[0]).rglob("*.py"):
        for line in path.read_text().splitlines():
            if "SLF001" in line and "public name" not in line:
                readers.add(path.stem)
                found = {name[1:] for name in PRIVATE.findall(line)}
                assert found - known <= {"_fetched"}, line
    assert readers == {"consumer_thread", "fetched"}
