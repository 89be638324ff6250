"""`python -m tests.chaos.recount`: compares Redis with the log of a running stack.

For a stack with the settings of `docker-compose.yml`, without writes at the time. If they differ,
prints where and exits with 1.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from contracts.bars import FIELDS
from contracts.keyspace import NEXT_FIELD, Keyspace
from contracts.topics import INTERACTIONS, QUOTES, STREAMED, Topic
from runtime.redis.stores import Store, connect
from runtime.topology import Topology
from stream_processors.settings import Settings
from tests.chaos.log import Log
from tests.chaos.truth.expected import (
    Near,
    Run,
    Values,
    compared_values,
    differences,
    expected_values,
    shortened,
    stored_fields,
)

_SUMS: Final = [letter for letter, f in FIELDS.items() if f.merge == "sum" and "price" in f.of]
_APART: Final = tuple(f" {letter}" for letter in _SUMS)
_RELATIVE: Final = 1e-9
"""Of such a field of a bar: the sum of any prices depends on the order by its last bits."""

console = Console(soft_wrap=True, highlight=False, markup=False)


def main(
    *,
    kafka: Annotated[str, typer.Option(help="its bootstrap servers")],
    redis: Annotated[str, typer.Option(help="its URL")],
    namespace: Annotated[str, typer.Option()] = "live",
) -> None:
    keyspace, log = Keyspace(namespace), Log(kafka)
    with connect(redis, "tickrec-recount") as store:
        topology = Topology.from_hash(store.hgetall(keyspace.topics()))
        problems = list(_unfolded(log, store, keyspace, topology))
        minutes, cap = (_default(name) for name in ("bars_retention_minutes", "history_cap"))
        run = Run(log, keyspace, topology, retention_minutes=minutes, cap=cap)
        stored = with_sums_apart(compared_values(stored_fields(store, keyspace)))
        problems += differences(tolerant(expected_values(run)), stored)
    log.close()
    if problems:
        console.print(shortened(problems))
        raise typer.Exit(1)
    console.print(f"{_counted(log)}; {_kinds(stored)}: equal")


def with_sums_apart(values: Values) -> Values:
    """Return the values with each of a bar's sums of prices as a value of its own."""
    apart: Values = {}
    for (key, field), value in values.items():
        if isinstance(value, dict) and key.split(":")[1] == "bars":
            apart |= {
                (key, f"{field} {letter}"): value[letter] for letter in _SUMS if letter in value
            }
            value = {letter: part for letter, part in value.items() if letter not in _SUMS}
        apart[key, field] = value
    return apart


def tolerant(expected: Values) -> Values:
    """Return what is expected, where sums of bars may differ in their last bits."""
    return {
        name: Near(value, abs(value) * _RELATIVE) if name[1].endswith(_APART) else value
        for name, value in with_sums_apart(expected).items()
    }


def _default(setting: str) -> Any:
    return Settings.model_fields[setting].default


def _unfolded(log: Log, store: Store, keyspace: Keyspace, topology: Topology) -> Iterator[str]:
    """Read the log to its end; yield where Redis has not reached it."""
    for topic in STREAMED:
        for partition, end in log.read_on(topic, topology.of(topic)).items():
            position = int(store.hget(keyspace.position(topic, partition), NEXT_FIELD) or 0)
            if position != end:
                yield f"{topic.name}/{partition} is folded up to {position}, and ends at {end}"


def _counted(log: Log) -> str:
    return ", ".join(f"{_records(log, topic):,} {topic.name}" for topic in (QUOTES, INTERACTIONS))


def _records(log: Log, topic: Topic) -> int:
    return sum(len(records) for (name, _), records in log.records.items() if name == topic.name)


def _kinds(values: Values) -> str:
    kinds = Counter(key.split(":")[1] for key, _ in values)
    return ", ".join(f"{n:,} values of {kind}" for kind, n in sorted(kinds.items()))


if __name__ == "__main__":
    typer.run(main)
