"""How the group's leader assigns partitions."""

from collections.abc import Iterable
from typing import Any

from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor


class RoundRobin(RoundRobinPartitionAssignor):  # type: ignore[misc]  # aiokafka has no types
    """Assigns the partitions round-robin, to members in the order of their ids.

    A static member that returns gets its former partitions, unless its metadata changed: then the
    broker triggers a full rebalance. Faust's own assignor includes the last assignment in the
    metadata, and aiokafka's lists the topics in the order of a set.
    """

    @classmethod
    def metadata(cls, topics: Iterable[str]) -> Any:
        """Return a member's metadata, the same for the same topics."""
        return super().metadata(sorted(topics))
