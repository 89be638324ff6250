"""Every Redis key: its structure, type, encoding and lifetime, and who writes and reads it.

Everything is readable with `redis-cli`; nothing is pickled or packed. Keys of one Kafka partition
share a hash tag, `{q3}`: the topic's letter and the partition, so that one script call can compare
the partition's epoch and write, both on a single node and on Redis Cluster. Workers write these
keys, and no others.

Each builder documents its key, and names the folds or programs that write and read it. A key lives
forever unless it says otherwise; one of a generation while `model:current` names that, and a
minute longer. An offset in a value is a `contracts.log_position.LogPosition`,
`[incarnation, offset]`: that of the last record folded into it. A record at or below it is a no-op
for that value. `contracts.generations` defines the values of `model:current` and of lists.
"""

import re
from dataclasses import dataclass
from typing import Final

from contracts.times import MAX_TS_MS
from contracts.topics import COOCCURRENCES, INSTRUMENTS, INTERACTIONS, QUOTES, Topic

FORMAT_FIELD: Final = "format"
"""Field of `meta:topics`."""
NEWEST_FIELD: Final = "newest"
"""Field of a `bars` hash: its newest minute, epoch seconds."""
OFFSET_FIELD: Final = "off"
"""Field of a user's, a `trending` or a `cooc` hash: a log position, `[incarnation, offset]`."""
HOLDERS_FIELD: Final = "holders"
"""Field of a `cooc` hash: the number of users with an affinity above 0 for the item."""
ERASED_FIELD: Final = "erased"
"""Field of a `history` hash: events of the user before this time, epoch ms, are ignored."""
NOT_ITEMS: Final = frozenset({OFFSET_FIELD, HOLDERS_FIELD, ERASED_FIELD})
"""Fields of a `history`, `trending` or `cooc` hash that are not items."""

NEXT_FIELD: Final = "next"
FLUSH_FIELD: Final = "flush"
EPOCH_FIELD: Final = "epoch"
INCARNATION_FIELD: Final = "incarnation"
TOPIC_ID_FIELD: Final = "topic_id"
"""Kafka's id of the position's topic: a different one means that the topic was recreated."""
LAST_FIELD: Final = "last"
"""Offset, digest and leader epoch of the last folded record; empty before there is one. It
identifies a copy of the topic and a log that lost its end, see
`stream_processors.partition.resume`."""
LINEAGE_FIELD: Final = "lineage"
"""When the state was created from nothing, epoch us: a store that lost its data starts a new
one."""
FOLDING_FIELD: Final = "folding"
"""JSON object: the settings with which the partition's values were folded."""
CHUNK_FIELD_PREFIX: Final = "chunk:"
"""Of a flush in progress: marks each chunk that is written."""
UPDATED_AT_FIELD: Final = "updated_at_ms"
CLOSED_FIELD: Final = "closed"
"""For quotes: start of the newest minute, epoch s, whose bars are in the topic `bars`."""
WHOLE_FIELD: Final = "whole"
"""For quotes: event time, epoch s, since which the bars include every quote.

0 if the log was folded from its very first record on, and no record was lost since. Otherwise a
minute after the first quote folded after a loss, or `NOT_WHOLE_YET_S` until that arrives.
"""
REVISED_FIELD: Final = "revised"
"""For quotes: changes whenever bars of hours that are over do. It begins with the epoch of the
worker that wrote it: under another epoch, it says nothing."""
LATE_FIELD: Final = "late"
"""For quotes: how many were dropped, as their minutes were no longer retained."""
NOT_WHOLE_YET_S: Final = MAX_TS_MS // 1000
SOURCE_FIELD_PREFIX: Final = "source:"
SOURCE_LINEAGE_FIELD_PREFIX: Final = "source-lineage:"

IDEMPOTENCY_KEPT_S: Final = 86_400
"""How long the answer to a write with an `Idempotency-Key` is kept."""
REPLACED_GENERATION_TTL_S: Final = 60
"""How long a generation stays readable after it was replaced."""
DECISIONS_KEPT: Final = 1000
"""Some 400 bytes each; at one a minute they cover the last 16 hours."""
PARTITIONS_KEY: Final = re.compile(
    r"[^:]+:(?P<kind>[^:]+):\{(?P<letter>.)(?P<partition>\d+)\}:?(?P<rest>.*)", re.DOTALL
)
"""Every key of a partition, with its namespace."""


@dataclass(frozen=True, slots=True)
class Keyspace:
    """Builds the keys of one namespace.

    >>> Keyspace("live").bars(3, 4)
    'live:bars:{q3}:4'
    """

    namespace: str

    def bars(self, partition: int, instrument_id: int) -> str:
        """Hash of an instrument's bars: minute start, epoch s -> `contracts.bars.BarValue`.

        `newest` -> its newest minute. Lives `BARS_RETENTION_MINUTES` of event time, and
        `BARS_EXPIRE_DAYS` after the last new minute, renewed at half of it by quotes that revise
        older bars. Written by bars; read by api.
        """
        return f"{self.bars_prefix(partition)}{instrument_id}"

    def bars_prefix(self, partition: int) -> str:
        """The prefix of the keys of a partition's bars."""
        return f"{self.namespace}:bars:{_tag(QUOTES, partition)}:"

    def bars_changed(self, partition: int) -> str:
        """Sharded pub/sub (Redis 7, Valkey): `contracts.bar_messages` of bars just written.

        Published by bars; read by api.
        """
        return f"{self.namespace}:bars-changed:{_tag(QUOTES, partition)}"

    def open_bars(self, partition: int) -> str:
        """Sorted set of a partition's instruments by newest minute, epoch s, until it is closed.

        Written by bars; read by bars.
        """
        return f"{self.namespace}:open:{_tag(QUOTES, partition)}"

    def history(self, partition: int, user_id: str) -> str:
        """Hash of a user's items, rejected ones included -> `contracts.affinities.HistoryEntry`.

        `off` -> last offset; `erased` -> of a user who was erased, as in that set. Lives
        `HISTORY_RETENTION_DAYS` of event time after the user's last event; of a removed user, it
        stays without items until the next flush, or a year. Written by histories; read by api,
        trainer.
        """
        return f"{self.namespace}:history:{_tag(INTERACTIONS, partition)}:{user_id}"

    def active(self, partition: int) -> str:
        """Sorted set of a partition's users by last event time, epoch ms.

        Lives as the user's history. Written by histories; read by histories, api, trainer.
        """
        return f"{self.namespace}:active:{_tag(INTERACTIONS, partition)}"

    def erased(self, partition: int) -> str:
        """Sorted set of the `contracts.tombstones.pseudonym` of each user who was erased.

        By the time, epoch ms, before which their events are left out. Lives until an erasure a year
        later (`KEPT_MS` there), and through a rebuild. Written by histories; read by histories.
        """
        return f"{self.namespace}:erased:{_tag(INTERACTIONS, partition)}"

    def trending(self, partition: int, length_s: int, start_s: int, page: int) -> str:
        """Hash of a bucket's events, a page of it: item -> how many; `off` -> last offset.

        An item stands in page `item % PAGES`. Lives as `contracts.trending` says, by the store's
        clock. Written by trending; read by api.
        """
        of = f"{length_s}:{start_s}:{page}"
        return f"{self.namespace}:trending:{_tag(INTERACTIONS, partition)}:{of}"

    def cooc(self, partition: int, item: int) -> str:
        """Hash of an item's row of the Gram matrix: item -> G[item, that item], itself included.

        Of the pairs that `contracts.partitioning` puts into this row, about half of the item's.
        `off` -> last offset; `holders` -> how many users have the item, and not the sums, which
        round: written if affinities are fractions, and if it is known. Written by cooccurrences;
        read by trainer.
        """
        return f"{self.cooc_prefix(partition)}{item}"

    def cooc_prefix(self, partition: int) -> str:
        """The prefix of the keys of a partition's rows."""
        return f"{self.namespace}:cooc:{_tag(COOCCURRENCES, partition)}:"

    def items(self, partition: int) -> str:
        """Set of the items of a partition that have a `cooc` key.

        Written by cooccurrences; read by trainer.
        """
        return f"{self.namespace}:items:{_tag(COOCCURRENCES, partition)}"

    def catalog(self, partition: int) -> str:
        """Hash of a partition's instruments: id -> `contracts.instruments.CatalogEntry`.

        A removed one has no field. `lineage`, `incarnation` and `next` of the position, read before
        the hash, are the version of a copy: they change with every flush that changes the catalog,
        so a process with a copy polls these three, and reads the hash again when one of them has
        changed. Written by instruments; read by api.
        """
        return f"{self.namespace}:catalog:{_tag(INSTRUMENTS, partition)}"

    def position(self, topic: Topic, partition: int) -> str:
        """Hash of a partition's progress, and of its owner.

        `next`, `flush`, `epoch`, `incarnation`, `topic_id`, `last`, `lineage`, `folding`,
        `updated_at_ms`; during a flush `chunk:<n>` -> the flush. For q also `closed` -> the newest
        minute whose bars are published, epoch s; `whole` -> the event time since when its bars are
        whole, epoch s; `revised` -> `epoch:n`, where n counts the flushes under that epoch that
        changed a bar of an earlier hour than its instrument's newest: while this is the same and no
        flush is unfinished, so are all of these bars that are retained; `late` -> quotes dropped so
        far, as their minutes were no longer retained. For c also `source:<p>` -> highest log
        position applied, `[incarnation,offset]`, and `source-lineage:<p>` -> `lineage` of the
        histories that its changes were computed from. Written by workers; read by workers, api,
        trainer, people.
        """
        return f"{self.namespace}:position:{_tag(topic, partition)}"

    def model_current(self) -> str:
        """String, `Current`: the generations that are served, and the assignment of users.

        In one value, so one read is enough. Written by trainer; read by api, trainer.
        """
        return f"{self.namespace}:model:current"

    def model_similar(self, generation: str, item: str) -> str:
        """String, `SimilarList`: the neighbors of an item.

        Lives as its generation. Written by trainer; read by api, trainer.
        """
        return f"{self.namespace}:model:{generation}:similar:{item}"

    def model_user(self, generation: str, user_id: str) -> str:
        """String, `UserList`: the recommendations of a user.

        Lives as its generation, or until the user is erased. Written by trainer, api; read by api.
        """
        return f"{self.namespace}:model:{generation}:user:{user_id}"

    def model_popular(self, generation: str) -> str:
        """String, `PopularList`: the most popular items.

        Lives as its generation. Written by trainer; read by api.
        """
        return f"{self.namespace}:model:{generation}:popular"

    def model_report(self, generation: str) -> str:
        """String, a JSON object: the generation's settings, data, quality and decisions.

        Lives as its generation. Written by trainer; read by api, people.
        """
        return f"{self.namespace}:model:{generation}:report"

    def model_keys(self, generation: str) -> str:
        """Set of every key of the generation, itself included.

        Lives as its generation. Written by trainer, api; read by trainer.
        """
        return f"{self.namespace}:model:{generation}:keys"

    def model_generations(self) -> str:
        """Sorted set of the generations with keys that do not expire, by fencing token.

        Written by trainer; read by trainer.
        """
        return f"{self.namespace}:model:generations"

    def model_decisions(self) -> str:
        """List of JSON objects: the newest `DECISIONS_KEPT` decisions on generations.

        Written by trainer; read by trainer, api, people.
        """
        return f"{self.namespace}:model:decisions"

    def model_refused(self) -> str:
        """Hash: variant -> JSON object: since when its generations are rejected, and by which rule.

        Lives until one of that variant is published. Written by trainer; read by trainer.
        """
        return f"{self.namespace}:model:refused"

    def model_lock(self) -> str:
        """String: the token of the running trainer.

        Lives its lease. Written by trainer; read by trainer.
        """
        return f"{self.namespace}:model:lock"

    def model_under_way(self) -> str:
        """What the trainer is doing: a string, `contracts.generations.UnderWay`.

        Lives while that is under way. Written by trainer; read by api, people.
        """
        return f"{self.namespace}:model:under-way"

    def model_fence(self) -> str:
        """String, an integer: the last fencing token that was issued.

        Written by trainer; read by trainer.
        """
        return f"{self.namespace}:model:fence"

    def topics(self) -> str:
        """Hash: topic -> partitions.

        `format` -> `runtime.topology.FORMAT`, of all that is in Redis. Written by
        operations.topics; read by all.
        """
        return f"{self.namespace}:meta:topics"

    def request_id_key(self) -> str:
        """String: the secret that request ids are signed with.

        Written by api; read by api.
        """
        return f"{self.namespace}:meta:request-id-key"

    def idempotency(self, digest: str) -> str:
        """String, a JSON object: the answer to a write with an `Idempotency-Key`, once known.

        With a digest of the request. The key's digest is made of the API key's name and of the
        header. Lives `IDEMPOTENCY_KEPT_S`. Written by api; read by api.
        """
        return f"{self.namespace}:idempotency:{digest}"

    def consumer_group(self) -> str:
        """The Kafka consumer group of the workers."""
        return f"{self.namespace}-stream-processors"


def source_field(partition: int) -> str:
    """Field of a `position:{c<p>}` hash: the highest offset applied of a source partition."""
    return f"{SOURCE_FIELD_PREFIX}{partition}"


def source_lineage_field(partition: int) -> str:
    """Field of a `position:{c<p>}` hash: the lineage of the histories of that offset."""
    return f"{SOURCE_LINEAGE_FIELD_PREFIX}{partition}"


def _tag(topic: Topic, partition: int) -> str:
    return f"{{{topic.letter}{partition}}}"
