"""Encodes closed bars as records of the topic `bars`. Pure."""

from contracts.bars import FIELDS
from contracts.closed_bars import encode_closed_bars
from contracts.times import MINUTE_MS
from stream_processors.bars.table import Due
from stream_processors.transport.producer import Outgoing


def records_of(due: Due) -> list[Outgoing]:
    """Return a record for each bar.

    The revision is the mark of the last quote in the bar. A bar at a mark holds all quotes of its
    minute up to that mark, regardless of worker and batches: so a revision of a bar has exactly one
    content, and a greater one has more quotes.
    """
    bars = due.bars
    columns = {letter: bars[field.name] for letter, field in FIELDS.items()}
    columns |= {
        "instrument_id": due.instrument_id,
        "t": due.minute * MINUTE_MS,
        "revision": bars["mark"],
    }
    values = encode_closed_bars(columns)
    no_headers: list[tuple[str, bytes]] = []
    return [
        Outgoing(b"%d" % instrument_id, value, no_headers)
        for instrument_id, value in zip(due.instrument_id.tolist(), values, strict=True)
    ]
