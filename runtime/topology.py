"""How many partitions each topic has, as `python -m operations.topics` noted in Redis.

Partitions are part of the keys, so a program that counts another number must not start; nor must
one that reads another format of keys and values.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final

from contracts.keyspace import FORMAT_FIELD
from contracts.topics import INSTRUMENTS, STREAMED, Topic

FORMAT: Final = "1"
"""Of all keys and values in Redis: the only one that programs read and write."""


class TopologyError(RuntimeError):
    """A namespace's format or partition counts are not recorded in Redis, or differ."""


@dataclass(frozen=True, slots=True)
class Topology:
    """The number of partitions of each streamed topic."""

    quotes: int
    interactions: int
    cooccurrences: int
    instruments: int = INSTRUMENTS.partitions

    @property
    def bars(self) -> int:
        """As many as `quotes` has: an instrument is in the same partition of both."""
        return self.quotes

    @classmethod
    def from_hash(cls, noted: Mapping[str, str]) -> "Topology":
        """Read the hash `meta:topics`.

        Raises:
            TopologyError: it has another format, or a topic is missing there.
        """
        check_format(noted)
        missing = [topic.name for topic in STREAMED if topic.name not in noted]
        if missing:
            raise TopologyError(
                f"meta:topics in Redis has no partitions for {', '.join(missing)}: "
                "run `python -m operations.topics` first"
            )
        return cls(**{topic.name: int(noted[topic.name]) for topic in STREAMED})

    def as_hash(self) -> dict[str, str]:
        """Return the hash `meta:topics`."""
        return {FORMAT_FIELD: FORMAT} | {name: str(n) for name, n in asdict(self).items()}

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


def check_format(noted: Mapping[str, str]) -> None:
    """Check the format of a namespace by its hash `meta:topics`, if there is one.

    Raises:
        TopologyError: it is another one than this program's.
    """
    found = noted.get(FORMAT_FIELD, "none")
    if noted and found != FORMAT:
        raise TopologyError(
            f"meta:topics in Redis says format {found}, and this program reads only {FORMAT}: use "
            "another NAMESPACE, which is filled from the log, or the version of Tickrec that wrote "
            "it"
        )
