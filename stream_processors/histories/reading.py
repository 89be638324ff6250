"""Reads histories from Redis, in script calls of about a millisecond each."""

from collections.abc import Sequence
from itertools import chain
from typing import Final

from stream_processors.store.chunks import Group, command
from stream_processors.store.claims import Claim

_ITEMS_AT_ONCE: Final = 1_000


async def read_histories(claim: Claim, keys: Sequence[str], cap: int) -> list[Sequence[str]]:
    """Return the fields and values of each key, alternating.

    Args:
        claim: of the partition that the keys belong to.
        keys: of users' histories.
        cap: the maximum length of a history. A whole one may be too much for one call.
    """
    if cap <= _ITEMS_AT_ONCE:
        return await claim.read(Group(key, command("HGETALL", [])) for key in keys)
    names = await claim.read(Group(key, command("HKEYS", [])) for key in keys)
    parts = [
        (key, its[start : start + _ITEMS_AT_ONCE])
        for key, its in zip(keys, names, strict=True)
        for start in range(0, len(its), _ITEMS_AT_ONCE)
    ]
    values = await claim.read(Group(key, command("HMGET", part)) for key, part in parts)
    stored: dict[str, list[str]] = {key: [] for key in keys}
    for (key, part), its_values in zip(parts, values, strict=True):
        stored[key] += chain.from_iterable(zip(part, its_values, strict=True))
    return list(stored.values())
