"""Each key that `Keyspace` builds, with its writers and readers as its builder documents them."""

import inspect
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from contracts.keyspace import Keyspace
from contracts.topics import STREAMED

RIGHTS: Final = re.compile(r"(Written|Published) by ([^;]+); read by (.+?)\.(?: |$)")
PARTITION: Final = 987


class Key(NamedTuple):
    """A key, or the channel of messages that are published."""

    example: str
    """with 987 as the partition, and `ARGUMENT` as every other argument"""
    writers: frozenset[str]
    readers: frozenset[str]
    is_channel: bool

    @property
    def kind(self) -> str:
        return self.example.split(":")[0]

    @property
    def topic_letter(self) -> str | None:
        """Of the hash tag of workers' keys."""
        tag = re.search(rf"\{{(.){PARTITION}\}}", self.example)
        return tag[1] if tag else None

    def shape(self) -> re.Pattern[str]:
        """Return a pattern, in which an argument is a value, `<a name>` or the `*` of a pattern."""
        shape = re.escape(self.example)
        shape = re.sub(rf"(.){PARTITION}", r"(?:\1|<t>)(?:\\d+|<p>|\\*)", shape)
        return re.compile(shape.replace("ARGUMENT", r"(?:<[a-z ]+>|[^\s:<>{}]+)"))


def keys() -> Iterator[Key]:
    """Yield all keys, and one of each topic if the builder takes it."""
    for name, build in inspect.getmembers(Keyspace, inspect.isfunction):
        if name.startswith("_") or name.endswith("_prefix") or name == "consumer_group":
            continue
        rights = RIGHTS.search(" ".join((build.__doc__ or "").split()))
        assert rights, f"Keyspace.{name}: say in its docstring: Written by ...; read by ..."
        writers, readers = (frozenset(rights[group].split(", ")) for group in (2, 3))
        parameters = list(inspect.signature(build).parameters)[1:]
        for topic in STREAMED if "topic" in parameters else [None]:
            arguments = {"partition": PARTITION, "topic": topic}
            key = build(Keyspace("n"), *(arguments.get(p, "ARGUMENT") for p in parameters))
            yield Key(key.removeprefix("n:"), writers, readers, rights[1] == "Published")
