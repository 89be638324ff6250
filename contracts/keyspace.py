"""Every Redis key: its structure, type, encoding and lifetime, and who writes and reads it.

Everything is readable with `redis-cli`; nothing is pickled or packed. Keys of one Kafka partition
share a hash tag, `{q3}`: the topic's letter and the partition, so that one script call can compare
the partition's epoch and write, both on a single node and on Redis Cluster.

Keys, after the namespace:

`bars:{q<p>}:<instrument>`
    hash: minute start, epoch s -> `contracts.bars.BarValue`; `newest` -> newest minute
    lives `BARS_RETENTION_MINUTES` of event time, and `BARS_EXPIRE_DAYS` after the last new
    minute, renewed at half of it by quotes that revise older bars;
    written by bars; read by api
`open:{q<p>}`
    sorted set: instrument by its newest minute, epoch s
    lives until that minute is closed; written by bars; read by bars
`history:{i<p>}:<user>`
    hash: item -> `contracts.affinities.HistoryEntry`, rejected ones included; `off` -> last offset;
    `erased` -> of a user who was erased, as in the set
    lives `HISTORY_RETENTION_DAYS` of event time after the user's last event; of a removed user, it
    stays without items until the next flush, or a year; written by histories; read by api, trainer
`active:{i<p>}`
    sorted set: user by last event time, epoch ms
    lives as the user's history; written by histories; read by histories, api, trainer
`erased:{i<p>}`
    sorted set: `contracts.tombstones.pseudonym` of each user who was erased by before which time
    events of theirs are left out, epoch ms
    lives until an erasure a year later, `KEPT_MS` there; written by histories; read by histories
`trending:{i<p>}:<length>:<start>:<page>`
    hash: item -> events of the partition's users in a bucket, both in s; `off` -> last offset
    lives as `contracts.trending` says, by the store's clock; written by histories; read by api
    An item stands in page `item % PAGES`.
`cooc:{c<p>}:<item>`
    hash: item -> G[item, that item], itself included, of the pairs that `contracts.partitioning`
    puts into this row, about half of the item's; `off` -> last offset; `holders` -> how many users
    have the item, and not the sums, which round: written if affinities are fractions, and if it is
    known
    lives forever; written by cooccurrences; read by trainer
`items:{c<p>}`
    set: the items that have a `cooc` key
    lives forever; written by cooccurrences; read by trainer
`catalog:{n<p>}`
    hash: instrument id -> `contracts.instruments.CatalogEntry`; a removed one has no field
    lives as the instrument; written by instruments; read by api
    `lineage`, `incarnation` and `next` of `position:{n<p>}`, read before the hash, are the version
    of a copy: they change with every flush that changes the catalog, so a process with a copy polls
    these three, and reads the hash again when one of them has changed.
`position:{<t><p>}`
    hash: `next`, `flush`, `epoch`, `incarnation`, `topic_id`, `last`, `lineage`, `folding`,
    `updated_at_ms`; during a flush `chunk:<n>` -> the flush;
    for q also `closed` -> the newest minute whose bars are published, epoch s; `whole` -> the
    event time since when its bars are whole, epoch s; `revised` -> `epoch:n`, where n counts the
    flushes under that epoch that changed a bar of an earlier hour than its instrument's newest:
    while this is the same and no flush is unfinished, so are all of these bars that are retained;
    for c also `source:<p>` -> highest log position applied, `[incarnation,offset]`, and
    `source-lineage:<p>` -> `lineage` of the histories that its changes were computed from
    lives forever; written by workers; read by workers, api, trainer, people
`model:current`
    string: `Current`; it includes the assignment of users to variants, so one read is enough
    lives forever; written by trainer; read by api, trainer
`model:<generation>:similar:<item>`
    string: `SimilarList`
    lives while named in `model:current`, then a minute; written by trainer; read by api, trainer
`model:<generation>:user:<user>`
    string: `UserList`
    lives while named in `model:current`, then a minute, or until the user is erased;
    written by trainer, api; read by api
`model:<generation>:popular`
    string: `PopularList`
    lives while named in `model:current`, then a minute; written by trainer; read by api
`model:<generation>:report`
    string: JSON object: settings, data, quality, decisions
    lives while named in `model:current`, then a minute; written by trainer; read by api, people
`model:<generation>:keys`
    set: every key of the generation, itself included
    lives while named in `model:current`, then a minute; written by trainer, api; read by trainer
`model:generations`
    sorted set: every generation with keys that do not expire, by its trainer's fencing token
    lives forever; written by trainer; read by trainer
`model:decisions`
    list: JSON object: a decision on a generation, when and why; the newest `DECISIONS_KEPT`
    lives forever; written by trainer; read by trainer, api, people
`model:refused`
    hash: variant -> JSON object: since when its generations are rejected, and by which rule
    lives until one of that variant is published; written by trainer; read by trainer
`model:lock`
    string: the token of the running trainer
    lives its lease; written by trainer; read by trainer
`model:fence`
    string, integer: the last token that was issued
    lives forever; written by trainer; read by trainer
`meta:topics`
    hash: topic -> partitions; `format` -> `runtime.topology.FORMAT`, of all that is in Redis
    lives forever; written by operations.topics; read by all
`meta:request-id-key`
    string: the secret that request ids are signed with
    lives forever; written by api; read by api

`idempotency:<digest>`
    string: JSON object: of a write with an `Idempotency-Key`, a digest of the request, and its
    answer, once there is one; the key's digest is made of the API key's name and of the header
    lives `IDEMPOTENCY_KEPT_S`; written by api; read by api

Channels, after the namespace, of sharded pub/sub (Redis 7, Valkey):

`bars-changed:{q<p>}`
    message: `contracts.bar_messages`, the bars of the partition that were just written
    published by bars; read by api

An offset in a value is a `contracts.log_position.LogPosition`, `[incarnation, offset]`: that of the
last record folded into it. A record at or below it is a no-op for that value.

The values of `model:current` and of a generation's lists are defined in `contracts.generations`.
"""

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
NOT_WHOLE_YET_S: Final = MAX_TS_MS // 1000
SOURCE_FIELD_PREFIX: Final = "source:"
SOURCE_LINEAGE_FIELD_PREFIX: Final = "source-lineage:"

IDEMPOTENCY_KEPT_S: Final = 86_400
"""How long the answer to a write with an `Idempotency-Key` is kept."""
REPLACED_GENERATION_TTL_S: Final = 60
"""How long a generation stays readable after it was replaced."""
DECISIONS_KEPT: Final = 1000
"""Some 400 bytes each; at one a minute they cover the last 16 hours."""


@dataclass(frozen=True, slots=True)
class Keyspace:
    """Builds the keys of one namespace.

    >>> Keyspace("live").bars(3, 4)
    'live:bars:{q3}:4'
    """

    namespace: str

    def bars(self, partition: int, instrument_id: int) -> str:
        """The minute bars of an instrument."""
        return f"{self.bars_prefix(partition)}{instrument_id}"

    def bars_prefix(self, partition: int) -> str:
        """The prefix of the keys of a partition's bars."""
        return f"{self.namespace}:bars:{_tag(QUOTES, partition)}:"

    def bars_changed(self, partition: int) -> str:
        """The channel of the bars of a partition that were written."""
        return f"{self.namespace}:bars-changed:{_tag(QUOTES, partition)}"

    def open_bars(self, partition: int) -> str:
        """The instruments of a partition whose newest minute is not closed."""
        return f"{self.namespace}:open:{_tag(QUOTES, partition)}"

    def history(self, partition: int, user_id: str) -> str:
        """The items that a user has."""
        return f"{self.namespace}:history:{_tag(INTERACTIONS, partition)}:{user_id}"

    def active(self, partition: int) -> str:
        """The users of a partition by last event time."""
        return f"{self.namespace}:active:{_tag(INTERACTIONS, partition)}"

    def erased(self, partition: int) -> str:
        """The users of a partition who were erased."""
        return f"{self.namespace}:erased:{_tag(INTERACTIONS, partition)}"

    def trending(self, partition: int, length_s: int, start_s: int, page: int) -> str:
        """A page of the events by item in a bucket."""
        of = f"{length_s}:{start_s}:{page}"
        return f"{self.namespace}:trending:{_tag(INTERACTIONS, partition)}:{of}"

    def cooc(self, partition: int, item: int) -> str:
        """An item's row of the Gram matrix."""
        return f"{self.cooc_prefix(partition)}{item}"

    def cooc_prefix(self, partition: int) -> str:
        """The prefix of the keys of a partition's rows."""
        return f"{self.namespace}:cooc:{_tag(COOCCURRENCES, partition)}:"

    def items(self, partition: int) -> str:
        """The items of a partition."""
        return f"{self.namespace}:items:{_tag(COOCCURRENCES, partition)}"

    def catalog(self, partition: int) -> str:
        """The instruments of a partition."""
        return f"{self.namespace}:catalog:{_tag(INSTRUMENTS, partition)}"

    def position(self, topic: Topic, partition: int) -> str:
        """The progress of a partition, and its owner."""
        return f"{self.namespace}:position:{_tag(topic, partition)}"

    def model_current(self) -> str:
        """The pointer to the generation that is served."""
        return f"{self.namespace}:model:current"

    def model_similar(self, generation: str, item: str) -> str:
        """The neighbors of an item."""
        return f"{self.namespace}:model:{generation}:similar:{item}"

    def model_user(self, generation: str, user_id: str) -> str:
        """The recommendations of a user."""
        return f"{self.namespace}:model:{generation}:user:{user_id}"

    def model_popular(self, generation: str) -> str:
        """The most popular items."""
        return f"{self.namespace}:model:{generation}:popular"

    def model_report(self, generation: str) -> str:
        """The generation's training data and quality."""
        return f"{self.namespace}:model:{generation}:report"

    def model_keys(self, generation: str) -> str:
        """Every key of the generation."""
        return f"{self.namespace}:model:{generation}:keys"

    def model_generations(self) -> str:
        """The generations whose keys do not expire yet."""
        return f"{self.namespace}:model:generations"

    def model_decisions(self) -> str:
        """Decisions on generations, newest first."""
        return f"{self.namespace}:model:decisions"

    def model_refused(self) -> str:
        """The variants whose generations are rejected, since when and why."""
        return f"{self.namespace}:model:refused"

    def model_lock(self) -> str:
        """Held by the running trainer."""
        return f"{self.namespace}:model:lock"

    def model_fence(self) -> str:
        """The last fencing token."""
        return f"{self.namespace}:model:fence"

    def topics(self) -> str:
        """The partitions of each topic."""
        return f"{self.namespace}:meta:topics"

    def request_id_key(self) -> str:
        """The secret that request ids are signed with."""
        return f"{self.namespace}:meta:request-id-key"

    def idempotency(self, digest: str) -> str:
        """The answer to a write with an `Idempotency-Key`."""
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
