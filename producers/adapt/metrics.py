"""Every metric of `python -m producers adapt`."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from producers.adapt.messages import Unpublished

READ: Final = Counter("adapt_records_read", "Records covered by a transaction.", ["topic"])
PUBLISHED: Final = Counter("adapt_records_published", "Records published to our topics.", ["topic"])
REJECTED: Final = Counter(
    "adapt_records_rejected", "Records that could not be mapped: dead letters.", ["topic"]
)
UNPUBLISHED: Final = {
    Unpublished.SAYS_NOTHING: Counter(
        "adapt_records_skipped",
        "Records that say nothing: tombstones of Debezium's, and updates of rows that are events.",
        ["topic"],
    ),
    Unpublished.LEFT_OUT: Counter(
        "adapt_records_filtered", "Records that the mapping leaves out.", ["topic"]
    ),
}
LAG: Final = Gauge(
    "adapt_lag_records",
    "Records not mapped yet.",
    ["topic", "partition"],
)
TRANSACTIONS: Final = Counter("adapt_transactions", "Transactions, by how they ended.", ["end"])
SECONDS: Final = Histogram(
    "adapt_transaction_seconds",
    "From reading a batch to the end of its transaction.",
    buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10),
)

# Exported as 0 from the start: Prometheus sees no increase in a series that begins with 1.
for _end in ("committed", "aborted"):
    TRANSACTIONS.labels(_end)


def begin(topics: list[str], into: list[str]) -> None:
    """Export what is counted for each topic, as 0."""
    for topic in topics:
        for metric in (READ, REJECTED, *UNPUBLISHED.values()):
            metric.labels(topic)
    for topic in into:
        PUBLISHED.labels(topic)
