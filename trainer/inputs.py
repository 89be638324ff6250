"""What a generation depends on: read before a run, and compared with that of the served one."""

from typing import Any

import msgspec

from contracts.keyspace import DEFAULT_VARIANT, INCARNATION_FIELD, NEXT_FIELD, Keyspace
from contracts.topics import COOCCURRENCES, INTERACTIONS, Topic
from runtime.stores import Store
from runtime.topology import Topology
from trainer.pipelines import ask_each
from trainer.publication import read_current
from trainer.report import Inputs, Position, Report
from trainer.settings import TrainerSettings

_report = msgspec.json.Decoder(Report)


def read_inputs(
    store: Store, keyspace: Keyspace, topology: Topology, settings: TrainerSettings
) -> Inputs:
    """Return the inputs of a run that starts now; what it reads later is at least as new."""
    return Inputs(
        models=settings.of_models(),
        positions={
            topic.name: _positions(store, keyspace, topic, partitions)
            for topic, partitions in (
                (INTERACTIONS, topology.interactions),
                (COOCCURRENCES, topology.cooccurrences),
            )
        },
    )


def served_inputs(store: Store, keyspace: Keyspace) -> Inputs | None:
    """Return the inputs of the generation that is served, None if there is none that says so."""
    current = read_current(store, keyspace)
    served = current.variants.get(DEFAULT_VARIANT) if current else None
    stored: Any = store.get(keyspace.model_report(served.generation)) if served else None
    try:
        return _report.decode(stored).inputs if stored else None
    except msgspec.ValidationError:  # another version of the trainer wrote it
        return None


def _positions(store: Store, keyspace: Keyspace, topic: Topic, partitions: int) -> list[Position]:
    answers = ask_each(
        store,
        [keyspace.position(topic, partition) for partition in range(partitions)],
        lambda pipeline, key: pipeline.hmget(key, INCARNATION_FIELD, NEXT_FIELD),
    )
    return [
        None if following is None else (int(incarnation or 0), int(following))
        for incarnation, following in answers
    ]
