"""Up to where the changes of each source partition are in the counts. Pure."""

from collections.abc import Mapping
from typing import NamedTuple

from contracts.keyspace import SOURCE_FIELD_PREFIX, source_field, source_lineage_field
from stream_processors.store.marks import incarnation_and_offset, mark


class Applied(NamedTuple):
    """Up to where the changes of a partition's events are in the counts."""

    mark: int
    """of the last of these events"""
    lineage: int | None
    """of the histories that the changes were computed from; None: written by a worker without
    lineages"""


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
