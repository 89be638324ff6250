"""The settings that a partition's state was folded with: others would bend what is there. Pure."""

from typing import Any

import msgspec


class FoldingError(RuntimeError):
    """A partition's state was folded with other settings than this worker's."""


def folding_text(settings: dict[str, Any]) -> str:
    """Return settings as they stand in a position, the same text for the same settings.

    >>> folding_text({"history_cap": 500, "affinity": "binary"})
    '{"affinity":"binary","history_cap":500}'
    """
    return msgspec.json.encode(settings, order="sorted").decode()


def check_folding(where: str, stored: str | None, ours: str) -> None:
    """Return if a partition's state is one that these settings make, or there is none.

    Raises:
        FoldingError: each setting that differs, with both values and what to do.
    """
    if stored is None or stored == ours:
        return
    theirs, mine = msgspec.json.decode(stored), msgspec.json.decode(ours)
    differing = ", ".join(
        f"{name.upper()} was {theirs.get(name, 'not set')} and is {mine.get(name, 'not set')}"
        for name in sorted({*theirs, *mine})
        if theirs.get(name) != mine.get(name)
    )
    raise FoldingError(
        f"what Redis holds of {where} was folded with other settings: {differing}. Set them as "
        "they were, or choose another NAMESPACE, which is filled from the log's beginning"
    )
