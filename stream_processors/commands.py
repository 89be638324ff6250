"""Groups of commands, which belong together, into chunks that Redis works on for a millisecond.

The form of a chunk is `contracts.commands`'.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from contracts.commands import Commands

COST_OF_A_MS: Final = 2_500
"""Entries of `Commands` that Redis works on for about a millisecond."""


def chunks(groups: Iterable[Commands], cost: int) -> Iterator[Commands]:
    """Join groups into chunks of at most `cost` entries; a greater group goes alone.

    A group is never split, so either all of its commands are done or none.
    """
    chunk: Commands = []
    for group in groups:
        if chunk and len(chunk) + len(group) > cost:
            yield chunk
            chunk = []
        chunk += group
    if chunk:
        yield chunk
