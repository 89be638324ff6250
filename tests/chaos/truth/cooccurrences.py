"""The Gram matrix of the histories, its rows, and which items have one."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from contracts.keyspace import HOLDERS_FIELD, NOT_ITEMS, OFFSET_FIELD
from contracts.partitioning import instrument_partition
from tests.chaos.truth.expected import Name, Near, Run
from tests.chaos.truth.histories import users_of
from tests.oracles.gram import stored_once

_OF_THE_LARGEST_TERM: Final = 1e-9
_IS_A_ROW: Final = "is a row"
"""One that was emptied has no items, until a later flush deletes it."""


def expected(run: Run) -> Iterator[tuple[Name, Any]]:
    n_partitions, keyspace, users = run.topology.cooccurrences, run.keyspace, users_of(run)
    counts: dict[tuple[int, int], Any] = dict(stored_once(users.gram()))
    if not run.mode.is_exact:
        largest = stored_once(users.largest).items()
        counts |= {ij: Near(counts.get(ij, 0), g * _OF_THE_LARGEST_TERM) for ij, g in largest}
    for (i, j), g in counts.items():
        yield (keyspace.cooc(instrument_partition(i, n_partitions), i), str(j)), g
    for i, n in users.holders().items():
        p = instrument_partition(i, n_partitions)
        yield (keyspace.items(p), str(i)), True
        yield (keyspace.cooc(p, i), _IS_A_ROW), True
        if not run.mode.is_exact:
            yield (keyspace.cooc(p, i), HOLDERS_FIELD), n


def compared(kind: str, _rest: str, fields: Mapping[str, Any]) -> Mapping[str, Any]:
    if kind == "items":
        return fields
    counts = {j: n for j, n in fields.items() if n and j != OFFSET_FIELD}
    return counts if NOT_ITEMS.issuperset(fields) else counts | {_IS_A_ROW: True}
