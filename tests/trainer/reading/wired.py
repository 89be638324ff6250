"""Redis's replies as bytes, and texts in a buffer, for what takes them apart."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from contracts.messages import Ints
from trainer.reading.replies import Bytes, Fields, Replies, Spans, fields_of


def bulk(text: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(text), text)


def hgetall(fields: Mapping[bytes, bytes], protocol: int = 3) -> bytes:
    head = b"%%%d\r\n" % len(fields) if protocol == 3 else b"*%d\r\n" % (2 * len(fields))
    return head + b"".join(bulk(text) for field in fields.items() for text in field)


def as_buffer(replies: Iterable[bytes]) -> Bytes:
    return np.frombuffer(b"".join(replies), np.uint8)


def spans_of(texts: Sequence[bytes], between: bytes = b"\r\n$1\r\n") -> tuple[Bytes, Spans]:
    """Return a buffer in which texts stand with something between them, and where."""
    buffer = between.join([b"", *texts, b""])
    starts, at = [], len(between)
    for text in texts:
        starts.append(at)
        at += len(text) + len(between)
    stops = [start + len(text) for start, text in zip(starts, texts, strict=True)]
    return np.frombuffer(buffer, np.uint8), Spans(_ints(starts), _ints(stops))


def hashes(*rows: Mapping[str, str]) -> list[Fields]:
    """Return the fields of some hashes, which are rows 0, 1, ..."""
    encoded = ({k.encode(): v.encode() for k, v in row.items()} for row in rows)
    return [fields_of(number, row) for number, row in enumerate(encoded)]


def as_dicts(replies: Replies) -> dict[int, dict[bytes, bytes]]:
    """Return row -> its hash."""
    found: dict[int, dict[bytes, bytes]] = {}
    fields = replies.fields
    for place, row in enumerate(fields.rows.tolist()):
        found.setdefault(row, {})[fields.name(place)] = fields.value(place)
    return found


def _ints(values: list[int]) -> Ints:
    return np.array(values, np.int64)
