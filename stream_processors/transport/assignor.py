"""How the group's leader shares the partitions out."""

from collections.abc import Iterable
from typing import Any

from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor


class RoundRobin(RoundRobinPartitionAssignor):  # type: ignore[misc]  # aiokafka has no types
    """Deals the partitions out in turn, to members in the order of their ids.

    A static member that comes back is given what it had, unless it says something else of itself
    than before: then the broker has everything shared out anew. Faust's own assignor says what it
    was assigned last, and aiokafka's lists the topics in the order of a set.
    """

    @classmethod
    def metadata(cls, topics: Iterable[str]) -> Any:
        """Return what a member says of itself, the same for the same topics."""
        return super().metadata(sorted(topics))
