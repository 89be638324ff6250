"""Every metric of the worker."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

RECORDS: Final = Counter("records", "Records taken from Kafka.", ["topic"])
REJECTED: Final = Counter("records_rejected", "Records sent to the dead letters.", ["topic"])
UNKNOWN_FIELDS: Final = Counter(
    "records_with_unknown_fields",
    "Records accepted without an unknown field; up to 100 per batch are found.",
    ["topic"],
)
REPLAYED: Final = Counter(
    "records_replayed", "Records below the position in Redis, skipped.", ["topic"]
)
LATE_QUOTES: Final = Counter("late_quotes", "Quotes of bars that are no longer retained, dropped.")
GAP: Final = Counter(
    "records_missing", "Records that the log had dropped before they were folded.", ["topic"]
)
UNPUBLISHED: Final = Counter(
    "bars_unpublished", "Script calls whose bars were written and could not be published."
)
CLOSED_BARS: Final = Counter(
    "closed_bars_published", "Bars published once their minute was closed, or after it."
)
REVISED_BARS: Final = Counter(
    "closed_bars_revised", "Bars published again after their minute was closed, due to late quotes."
)
ERASED_EVENTS: Final = Counter(
    "events_erased", "Interactions skipped, as they are older than their user's erasure."
)
CHANGES: Final = Counter("changes", "Rows published to cooccurrences.")
FOREIGN_CHANGES: Final = Counter(
    "changes_foreign", "Rows skipped, as their histories are not those in Redis."
)
REPLAYED_CHANGES: Final = Counter(
    "changes_replayed", "Rows skipped, as their changes were already applied."
)
FLUSH_SECONDS: Final = Histogram(
    "flush_seconds",
    "From the first chunk of a flush to the position.",
    ["topic"],
    buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10),
)
FLUSHED_VALUES: Final = Counter(
    "flushed_values",
    "Bars, histories, items or instruments written.",
    ["topic"],
)
LAG: Final = Gauge(
    "lag_records",
    "Records between the position in Redis and the log's end, committed or not.",
    ["topic", "partition"],
)
HELD_BACK: Final = Gauge(
    "records_held_back",
    "Of the lag, the records held back by an open transaction.",
    ["topic", "partition"],
)
OPEN_TRANSACTION: Final = Gauge(
    "open_transaction_seconds",
    "For how long the log has been held back at the same record; 0 if it is not.",
    ["topic", "partition"],
)
FRESHNESS: Final = Gauge(
    "freshness_seconds", "Clock minus the newest event time in Redis, at the last flush.", ["topic"]
)
PARTITIONS: Final = Gauge("partitions_assigned", "Partitions that this worker folds.", ["topic"])
TOPIC_PARTITIONS: Final = Gauge(
    "topic_partitions", "Partitions of a topic, which all workers together fold.", ["topic"]
)
FENCED: Final = Counter("partitions_fenced", "Script calls refused: the worker had been replaced.")
STARTED_OVER: Final = Counter(
    "partitions_started_over", "Partitions that did not resume at their position.", ["why"]
)
BEGUN_ANEW: Final = Counter(
    "partitions_begun_anew",
    "Partitions claimed again by the same worker: log or store was replaced.",
    ["topic", "why"],
)
STATES: Final = Gauge(
    "partition_states", "Partitions of this worker in each state of their life.", ["topic", "state"]
)
PASSING: Final = Gauge(
    "partition_passing_seconds",
    "For how long some partition has been in a state that passes within moments, the longest of "
    "them: claiming, resuming or flushing; 0 if none is.",
    ["topic"],
)
