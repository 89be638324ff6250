"""The catalog: the newest valid record of each instrument, unless that removes it."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from contracts.instruments import Instrument, encode_instrument
from contracts.topics import INSTRUMENTS
from tests.chaos.truth.expected import Name, Run


def expected(run: Run) -> Iterator[tuple[Name, Any]]:
    for p in range(run.topology.instruments):
        entries: dict[str, Any] = {}
        incarnation = 0
        for mark, record in run.log.counted((INSTRUMENTS.name, p)):
            if mark[0] > incarnation:
                incarnation, entries = mark[0], {}
            key = (record.key or b"").decode()
            if record.value is None:
                entries.pop(key, None)
            else:
                instrument = msgspec.json.decode(record.value, type=Instrument)
                entries[key] = json.loads(encode_instrument(instrument)) | {"off": list(mark)}
        yield from (((run.keyspace.catalog(p), key), entry) for key, entry in entries.items())
