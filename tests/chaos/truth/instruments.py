"""The catalog: the newest valid record of each instrument, unless that removes it."""

import json
from collections.abc import Iterator
from typing import Any

from contracts.instruments import decode_instrument_record, encode_instrument
from contracts.topics import INSTRUMENTS
from tests.chaos.truth.expected import Name, Run


def expected(run: Run) -> Iterator[tuple[Name, Any]]:
    for p in range(run.topology.instruments):
        entries: dict[str, Any] = {}
        incarnation = 0
        for mark, record in run.log.counted((INSTRUMENTS.name, p)):
            if mark[0] > incarnation:
                incarnation, entries = mark[0], {}
            try:
                number, instrument = decode_instrument_record(record.key, record.value)
            except ValueError:
                continue
            entries.pop(str(number), None)
            if instrument is not None:
                entry = json.loads(encode_instrument(instrument)) | {"off": list(mark)}
                entries[str(number)] = entry
        yield from (((run.keyspace.catalog(p), key), entry) for key, entry in entries.items())
