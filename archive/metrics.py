"""Every metric of the archive."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from contracts.archive import TABLES

ROWS: Final = Counter("archive_rows", "Rows committed.", ["table"])
REJECTED: Final = Counter(
    "archive_records_rejected",
    "Records that break their topic's rules: covered by a commit, but no rows.",
    ["table"],
)
MISSING: Final = Counter(
    "archive_records_missing", "Records that the log had dropped before they were read.", ["table"]
)
STARTED_OVER: Final = Counter(
    "archive_partitions_started_over", "Partitions whose log had become another one.", ["table"]
)
COMMITS: Final = Counter("archive_commits", "Snapshots committed, by what for.", ["table", "why"])
REFUSED: Final = Counter(
    "archive_commits_refused",
    "Commits whose offsets the table had already, or that another writer's came before.",
    ["table"],
)
FAILED: Final = Counter(
    "archive_commits_failed", "Attempts that failed as catalog, store or disk did.", ["table"]
)
COMMIT_SECONDS: Final = Histogram(
    "archive_commit_seconds",
    "From sorting a commit's rows to its snapshot.",
    ["table"],
    buckets=(0.1, 0.3, 1, 3, 10, 30, 100),
)
COMMITTED_TIMESTAMP: Final = Gauge(
    "archive_committed_timestamp_seconds", "When the table was last committed, epoch s.", ["table"]
)
MAINTAINED_TIMESTAMP: Final = Gauge(
    "archive_maintained_timestamp_seconds",
    "When the table was last cleaned as a whole, and its users erased, epoch s, as the table says.",
    ["table"],
)
ERASURES_PENDING: Final = Gauge(
    "archive_erasures_pending",
    "Erased users of whom there were rows in some file after the last whole round.",
    ["table"],
)
ERASED_TIMESTAMP: Final = Gauge(
    "archive_erased_timestamp_seconds",
    "When a round last found no rows of erased users in any file, epoch s.",
    ["table"],
)
MAINTENANCE_FAILED: Final = Counter(
    "archive_maintenance_failed", "Rounds of maintenance that failed.", ["table"]
)
BUFFERED_BYTES: Final = Gauge("archive_buffered_bytes", "Rows in memory, not committed yet.")
LAG: Final = Gauge(
    "archive_lag_records",
    "Records between what was read and the log's end, committed or not.",
    ["table", "partition"],
)
HELD_BACK: Final = Gauge(
    "archive_records_held_back",
    "Of the lag, the records that an open transaction keeps everyone from reading.",
    ["table", "partition"],
)
OPEN_TRANSACTION: Final = Gauge(
    "archive_open_transaction_seconds",
    "For how long the log has been held back at the same record; 0 if it is not.",
    ["table", "partition"],
)
ERASED_ROWS: Final = Counter("archive_rows_erased", "Rows of users taken out.", ["table"])
FILES_COMPACTED: Final = Counter(
    "archive_files_compacted", "Files merged into larger ones.", ["table"]
)
FILES_REMOVED: Final = Counter(
    "archive_files_removed", "Files deleted that no snapshot had any more, or ever.", ["table"]
)

# Exported as 0 from the start: Prometheus sees no increase in a series that begins with 1.
for _table in TABLES:
    for _metric in (
        *(ROWS, REJECTED, MISSING, STARTED_OVER, REFUSED, FAILED),
        *(MAINTENANCE_FAILED, ERASED_ROWS, FILES_COMPACTED, FILES_REMOVED),
    ):
        _metric.labels(_table.name)
    for _why in ("append", "compaction", "erasure"):
        COMMITS.labels(_table.name, _why)
