"""What Redis must hold, computed from the log record by record, without the workers' code.

Each fold has a module of its name here. `expected(run)` yields the values that it must write, named
by their key in Redis and the field in it, as `json.loads` reads them. If not all of its keys can be
computed, `compared(kind, rest, fields)` returns what can, of a key's fields, by the key's kind and
what follows its hash tag.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final, NamedTuple

from contracts.keyspace import ERASED_FIELD, OFFSET_FIELD, PARTITIONS_KEY, Keyspace
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
