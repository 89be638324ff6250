"""A Prometheus counter at the cost of an addition.

prometheus_client's own takes a lock; a counter that only the event loop uses needs none.
"""

from collections.abc import Iterable, Iterator

from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector


class Counts(Collector):
    """Counts each combination of labels, in one process."""

    def __init__(self, name: str, documentation: str, labels: tuple[str, ...]) -> None:
        self._name = name
        self._documentation = documentation
        self._labels = labels
        self._counts: dict[tuple[str, ...], int] = {}

    def note(self, *labels: str) -> None:
        """Count one; from the event loop only."""
        self._counts[labels] = self._counts.get(labels, 0) + 1

    def add(self, n: int, *labels: str) -> None:
        """Count `n`; from the event loop only."""
        self._counts[labels] = self._counts.get(labels, 0) + n

    def describe(self) -> Iterable[Metric]:
        """Return the family without samples."""
        return [self._family()]

    def collect(self) -> Iterator[Metric]:
        """Yield the counts."""
        family = self._family()
        for labels, count in self._counts.items():
            family.add_metric(labels, count)
        yield family

    def _family(self) -> CounterMetricFamily:
        return CounterMetricFamily(self._name, self._documentation, labels=self._labels)
