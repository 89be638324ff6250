"""What Redis must hold, computed from the log record by record, without the workers' code.

Each fold has a module of its name here. `expected(run)` yields the values that it must write, named
by their key in Redis and the field in it, as `json.loads` reads them. If not all of its keys can be
computed, `compared(kind, rest, fields)` returns what can, of a key's fields, by the key's kind and
what follows its hash tag. `differences` are those to what Redis holds.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final, NamedTuple

from contracts.keyspace import ERASED_FIELD, OFFSET_FIELD, PARTITIONS_KEY, Keyspace
from runtime.redis.stores import Store
from runtime.topology import Topology
from tests.chaos.log import Log
from tests.chaos.modes import HISTORY_CAP, RETENTION_MINUTES, USUAL, Mode
from tests.contracts.keys import keys

Name = tuple[str, str]
"""key and field"""
Values = dict[Name, Any]
_OF_ALL_FOLDS: Final = "workers"


class Near(NamedTuple):
    """A sum that depends on the order; one of 0 may be missing."""

    value: float
    within: float


@dataclass(frozen=True, eq=False)
class Run:
    log: Log
    keyspace: Keyspace
    topology: Topology
    mode: Mode = USUAL
    retention_minutes: int = RETENTION_MINUTES
    cap: int = HISTORY_CAP


def expected_values(run: Run) -> Values:
    """Return every value of every fold, a `Near` of sums of fractions."""
    truths = [_truth(fold) for fold in sorted(set(_folds().values()))]
    return {name: value for truth in truths for name, value in truth.expected(run)}


def compared_values(stored: Iterable[tuple[str, Mapping[str, Any]]]) -> Values:
    """Return of keys and fields that Redis has those that `expected_values` computes."""
    values: Values = {}
    folds = _folds()
    for key, fields in stored:
        its = PARTITIONS_KEY.fullmatch(key)
        # Of a user who left, a hash may be left until a later flush deletes it.
        if its and its["kind"] in folds and not fields.keys() <= {OFFSET_FIELD, ERASED_FIELD}:
            truth = _truth(folds[its["kind"]])
            if hasattr(truth, "compared"):
                fields = truth.compared(its["kind"], its["rest"], fields)
            values.update({(key, field): value for field, value in fields.items()})
    return values


def _folds() -> Mapping[str, str]:
    """Return the fold that writes the keys of each kind."""
    return {
        key.kind: fold
        for key in keys()
        if key.topic_letter and not key.is_channel
        for fold in key.writers - {_OF_ALL_FOLDS}
    }


def _truth(fold: str) -> Any:
    module = f"{__package__}.{fold}"
    try:
        return import_module(module)
    except ModuleNotFoundError as missing:
        raise LookupError(
            f"nothing computes what the fold {fold} must write: add {module.replace('.', '/')}.py "
            f"with expected(run), as {__package__}.trending has it"
        ) from missing


# Of affinities and scales, which are made of few sums and products.
_RELATIVE: Final = 1e-12
_SHOWN: Final = 20


def stored_fields(store: Store, keyspace: Keyspace) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the keys of all partitions but their positions, with their fields or members."""
    for key in store.scan_iter(f"{keyspace.namespace}:*:{{*", count=1000):
        kind = store.type(key)
        if kind == "zset":
            yield key, dict(store.zrange(key, 0, -1, withscores=True))
        elif kind == "set":
            yield key, dict.fromkeys(store.smembers(key), True)
        elif kind == "hash" and ":position:" not in key:
            yield key, {field: json.loads(value) for field, value in store.hgetall(key).items()}


def differences(expected: Values, stored: Values) -> Iterable[str]:
    """Yield where the two differ, a line for each value."""
    for name in sorted(expected.keys() | stored.keys()):
        ours, theirs = expected.get(name), stored.get(name)
        if not _agree(ours, theirs):
            yield f"{' '.join(name)}: the log says {ours}, Redis has {theirs}"


def shortened(problems: Sequence[str]) -> str:
    """Return the first problems, a line each, and how many more there are."""
    more = [f"... {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
    return "\n".join([*problems[:_SHOWN], *more])


def _agree(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, Near):
        return abs(ours.value - (theirs or 0)) <= ours.within
    if isinstance(ours, dict) and isinstance(theirs, dict) and "r" in ours:
        return ours.keys() == theirs.keys() and all(
            math.isclose(ours[field], theirs[field], rel_tol=_RELATIVE if field in "rs" else 0)
            for field in ours
        )
    return bool(ours == theirs)
