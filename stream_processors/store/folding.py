"""The settings that a partition's state was folded with: others would corrupt it. Pure."""

from typing import Any

import msgspec

from contracts.event_types import changed
from contracts.topics import Topic


class FoldingError(RuntimeError):
    """A partition's state was folded with settings other than this worker's."""


def folding_text(settings: dict[str, Any]) -> str:
    """Return settings as stored in a position: equal settings give equal text.

    >>> folding_text({"history_cap": 500, "affinity": "binary"})
    '{"affinity":"binary","history_cap":500}'
    """
    return msgspec.json.encode(settings, order="sorted").decode()


def check_folding(topic: Topic, partition: int, stored: str | None, ours: str) -> None:
    """Check that a partition's state, if any, was folded with these settings.

    Raises:
        FoldingError: what differs, with both values and what to do.
    """
    if stored is None or stored == ours:
        return
    theirs, mine = msgspec.json.decode(stored), msgspec.json.decode(ours)
    names = changed(theirs, mine)
    if not names:
        return
    differing = ", ".join(
        f"{name.upper()} was {theirs.get(name, 'not set')} and is {mine.get(name, 'not set')}"
        for name in names
    )
    raise FoldingError(
        f"what Redis holds of {topic.name}/{partition} was folded with other settings: "
        f"{differing}. Restore the settings, or choose another NAMESPACE, which is filled from the "
        "log's beginning"
    )
