"""A place in a partition's log as one comparable number: the log's incarnation and the offset.

An offset means nothing without its log. When a topic is recreated its offsets start over, and the
incarnation is raised; so a later record always has the greater mark, across logs.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple, TypeVar

import msgspec

from contracts.keyspace import SOURCE_FIELD_PREFIX, source_field, source_lineage_field
from contracts.messages import Ints

_OFFSET_BITS: Final = 48
_offset = msgspec.json.Decoder(tuple[int, int])
_encode = msgspec.json.Encoder().encode

NOTHING: Final = -1
"""Below every mark: nothing is folded in yet."""


class Applied(NamedTuple):
    """Up to where the changes of a partition's events are in the counts."""

    mark: int
    """of the last of these events"""
    lineage: int | None
    """of the histories that the changes were computed from; None: written by a worker without
    lineages"""


def mark(incarnation: int, offset: int) -> int:
    """Return the mark of a record.

    >>> mark(1, 0) > mark(0, 2**40)
    True
    """
    return incarnation << _OFFSET_BITS | offset


Marks = TypeVar("Marks", int, Ints)


def incarnation_and_offset(value: Marks) -> tuple[Marks, Marks]:
    """Invert `mark`.

    >>> incarnation_and_offset(mark(3, 7))
    (3, 7)
    """
    return value >> _OFFSET_BITS, value & (1 << _OFFSET_BITS) - 1


def text_of(value: int) -> str:
    """Return a mark as stored in Redis, `[incarnation, offset]`.

    >>> text_of(mark(3, 7))
    '[3,7]'
    """
    return _encode(incarnation_and_offset(value)).decode()


def mark_of(text: str | None) -> int:
    """Return the mark of a value in Redis, `NOTHING` without one.

    >>> mark_of("[3,7]") == mark(3, 7), mark_of(None)
    (True, -1)
    """
    return mark(*_offset.decode(text)) if text else NOTHING


def fields_of(sources: Mapping[int, Applied]) -> dict[str, str]:
    """Return the fields of a position that say how far the changes of each source are applied.

    >>> fields_of({2: Applied(mark(3, 7), 5)})
    {'source:2': '3:7', 'source-lineage:2': '5'}
    """
    fields: dict[str, str] = {}
    for source, applied in sources.items():
        incarnation, offset = incarnation_and_offset(applied.mark)
        fields[source_field(source)] = f"{incarnation}:{offset}"
        if applied.lineage is not None:
            fields[source_lineage_field(source)] = str(applied.lineage)
    return fields


def applied_of(position: Mapping[str, str]) -> dict[int, Applied]:
    """Invert `fields_of`; other fields are ignored.

    >>> applied_of({"next": "40", "source:2": "3:7"}) == {2: Applied(mark(3, 7), None)}
    True
    """
    sources: dict[int, Applied] = {}
    for name, value in position.items():
        if name.startswith(SOURCE_FIELD_PREFIX):
            source = int(name.removeprefix(SOURCE_FIELD_PREFIX))
            incarnation, offset = map(int, value.split(":"))
            lineage = position.get(source_lineage_field(source))
            at = None if lineage is None else int(lineage)
            sources[source] = Applied(mark(incarnation, offset), at)
    return sources
