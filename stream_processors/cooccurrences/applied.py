"""Up to where the changes of each source partition are in the counts. Pure."""

from collections.abc import Mapping
from typing import NamedTuple

from contracts.keyspace import SOURCE_FIELD_PREFIX, source_field, source_lineage_field
from contracts.log_position import mark_of, text_of


class Applied(NamedTuple):
    """Up to where the changes of a partition's events are in the counts."""

    mark: int
    """of the last of these events"""
    lineage: int
    """of the histories that the changes were computed from"""


def fields_of(sources: Mapping[int, Applied]) -> dict[str, str]:
    """Return the fields of a position that say how far the changes of each source are applied.

    >>> fields_of({2: Applied(mark_of("[3,7]"), 5)})
    {'source:2': '[3,7]', 'source-lineage:2': '5'}
    """
    fields: dict[str, str] = {}
    for source, applied in sources.items():
        fields[source_field(source)] = text_of(applied.mark)
        fields[source_lineage_field(source)] = str(applied.lineage)
    return fields


def applied_of(position: Mapping[str, str]) -> dict[int, Applied]:
    """Invert `fields_of`; other fields are ignored.

    >>> applied_of({"next": "40", "source:2": "[3,7]", "source-lineage:2": "5"})
    {2: Applied(mark=844424930131975, lineage=5)}
    """
    sources: dict[int, Applied] = {}
    for name, value in position.items():
        if name.startswith(SOURCE_FIELD_PREFIX):
            source = int(name.removeprefix(SOURCE_FIELD_PREFIX))
            lineage = int(position[source_lineage_field(source)])
            sources[source] = Applied(mark_of(value), lineage)
    return sources
