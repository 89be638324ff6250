"""Whether the store keeps all data: one that evicts loses counts silently."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from runtime.redis.refusals import StoreRefusesError

_POLICY: Final = "maxmemory_policy"
_KEEPING: Final = "noeviction"
_APPENDING: Final = "aof_enabled"


def warnings_of(info: Mapping[str, Any]) -> list[str]:
    """Return warnings about a store's configuration.

    >>> warnings_of({"maxmemory_policy": "noeviction", "aof_enabled": 1})
    []

    Args:
        info: the sections `memory` and `persistence` of `INFO`, of a single node or node by node.

    Raises:
        StoreRefusesError: it may evict what it holds.
    """
    warnings = set()
    for node in _nodes(info):
        if _POLICY not in node:
            warnings.add(
                "Redis does not report its maxmemory-policy: set it to noeviction, since with any "
                "other policy counts would be lost silently"
            )
        elif node[_POLICY] != _KEEPING:
            raise StoreRefusesError(
                f"Redis has the maxmemory-policy {node[_POLICY]}, with which it silently "
                "drops bars and counts when its memory is full: set it to noeviction, with "
                "CONFIG SET maxmemory-policy noeviction and in its configuration file"
            )
        if not int(node.get(_APPENDING, 0)):
            warnings.add(
                "Redis has no append-only file: after a restart it is empty, and is filled again "
                "only as far as the log reaches back. Set appendonly to yes"
            )
    return sorted(warnings)


def _nodes(info: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    of_nodes = [node for node in info.values() if isinstance(node, Mapping)]
    return of_nodes if of_nodes and len(of_nodes) == len(info) else [info]
