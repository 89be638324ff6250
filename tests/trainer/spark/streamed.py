"""A store as the workers leave it who fold a log, for the trainer to read."""

import json
from collections.abc import Mapping

import numpy as np
from scipy.sparse import csr_array

from contracts.keyspace import Keyspace
from contracts.pairs import row_of
from contracts.partitioning import instrument_partition, user_partition
from contracts.topics import COOCCURRENCES, INTERACTIONS, STREAMED
from runtime.redis.stores import Store
from runtime.topology import Topology
from stream_processors.histories.history import History
from tests.oracles.gram import gram_matrix
from tests.trainer.spark.logs import Record

PARTITIONS = 2


def note_topics(store: Store, keyspace: Keyspace, folding: Mapping[str, object]) -> None:
    """Put what workers note who have folded nothing yet."""
    topology = Topology(**{topic.name: PARTITIONS for topic in STREAMED})
    store.hset(keyspace.topics(), mapping=topology.as_hash())
    for topic in (INTERACTIONS, COOCCURRENCES):
        for partition in range(PARTITIONS):
            position = {"next": 1, "epoch": 1, "incarnation": 0, "updated_at_ms": 0}
            if topic == INTERACTIONS:
                position["folding"] = json.dumps(folding)
            store.hset(keyspace.position(topic, partition), mapping=position)


def put(store: Store, keyspace: Keyspace, folded: Mapping[str, tuple[Record, History]]) -> None:
    """Put histories, and their counts."""
    pipeline = store.pipeline(transaction=False)
    for user, (last, history) in folded.items():
        partition = user_partition(user, PARTITIONS)
        fields = {
            str(item): json.dumps({"r": affinity, "t": ts_ms, "f": first_ms})
            for item, affinity, ts_ms, first_ms in history.entries.tolist()
        }
        fields["off"] = f"[0,{last.offset}]"
        pipeline.hset(keyspace.history(partition, user), mapping=fields)
        pipeline.zadd(keyspace.active(partition), {user: history.last_ts_ms()})
    entries = np.concatenate([history.entries for _, history in folded.values()])
    items, columns = np.unique(entries["item"], return_inverse=True)
    users = np.repeat(np.arange(len(folded)), [len(history) for _, history in folded.values()])
    r = csr_array((entries["affinity"], (users, columns)))
    gram = csr_array(gram_matrix(r))
    names = [str(item) for item in items]
    for row, item in enumerate(items.tolist()):
        its = slice(gram.indptr[row], gram.indptr[row + 1])
        counts = zip(gram.indices[its].tolist(), gram.data[its].tolist(), strict=True)
        partition = instrument_partition(item, PARTITIONS)
        fields = {names[j]: repr(count) for j, count in counts if row_of(item, items[j]) == item}
        pipeline.hset(keyspace.cooc(partition, item), mapping=fields | {"off": "[0,0]"})
        pipeline.sadd(keyspace.items(partition), item)
        if row % 500 == 0:
            pipeline.execute()
    pipeline.execute()
