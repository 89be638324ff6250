"""How many partitions each topic has, as `python -m operations.topics` noted in Redis.

Partitions are part of the keys, so a program that counts another number must not start.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from contracts.topics import FEEDBACK, INSTRUMENTS, STREAMED, Topic


class TopologyError(RuntimeError):
    """The numbers in Redis are missing, or differ from what this program sees."""


@dataclass(frozen=True, slots=True)
class Topology:
    """The number of partitions of each streamed topic."""

    quotes: int
    interactions: int
    cooccurrences: int
    instruments: int = INSTRUMENTS.partitions
    feedback: int = FEEDBACK.partitions

    @property
    def bars(self) -> int:
        """As many as `quotes` has: an instrument is in the same partition of both."""
        return self.quotes

    @classmethod
    def from_hash(cls, partitions: Mapping[str, str]) -> "Topology":
        """Read the hash `meta:topics`.

        Raises:
            TopologyError: a topic is missing there.
        """
        # Earlier releases did not fold these: all else works without.
        needed = [topic for topic in STREAMED if topic not in (INSTRUMENTS, FEEDBACK)]
        missing = [topic.name for topic in needed if topic.name not in partitions]
        if missing:
            raise TopologyError(
                f"meta:topics in Redis has no partitions for {', '.join(missing)}: "
                "run `python -m operations.topics` first"
            )
        return cls(**{one.name: int(partitions.get(one.name, one.partitions)) for one in STREAMED})

    def of(self, topic: Topic) -> int:
        """Return how many partitions a topic of workers has."""
        partitions: int = getattr(self, topic.name)
        return partitions

    def check(self, topic: str, seen: int) -> None:
        """Compare with what the broker says.

        Raises:
            TopologyError: the broker has another number.
        """
        noted = getattr(self, topic)
        if noted != seen:
            raise TopologyError(
                f"topic {topic} has {seen} partitions on the broker, but meta:topics in Redis says "
                f"{noted}: the keys in Redis were made for {noted}. Use another NAMESPACE, or "
                "create the topic again with the noted number"
            )
