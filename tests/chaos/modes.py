"""What a run varies: the workers' settings, and the servers."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal, get_args

from contracts.affinities import AffinityName

UserWeight = Literal["none", "inverse-degree", "value"]
StoreKind = Literal["single", "cluster"]
AppendFsync = Literal["always", "everysec"]

HISTORY_CAP: Final = 12
RETENTION_MINUTES: Final = 60
CLOSE_AFTER_S: Final = 120
"""Less than quotes may be late by, so that some revise a closed bar."""
HALF_LIFE_DAYS: Final = 60.0
USER_WEIGHT_EXPONENT: Final = 0.5
TYPICAL_VALUE: Final = 1_000.0
# Small, so that a flush is several chunks, and a fault comes between two of them.
_CHUNK_COST: Final = 60


@dataclass(frozen=True, slots=True)
class Mode:
    affinity: AffinityName = "binary"
    user_weight: UserWeight = "none"
    store: StoreKind = "single"
    appendfsync: AppendFsync = "always"
    brokers: Literal[1, 3] = 1
    long_outages: bool = False
    """servers are away for 100 s, once a run each"""
    secured: bool = False
    """workers reach Kafka encrypted, as a user with no rights but theirs"""

    @property
    def is_exact(self) -> bool:
        """Whether affinities and G are whole numbers, whose sums are exact."""
        return self.affinity == "binary" and self.user_weight == "none"

    def __str__(self) -> str:
        words = [self.affinity, self.user_weight, self.store, self.appendfsync]
        extras = {
            f"{self.brokers} brokers": self.brokers > 1,
            "long outages": self.long_outages,
            "secured": self.secured,
        }
        return ", ".join([*words, *(name for name, is_on in extras.items() if is_on)])

    def environment(self) -> Mapping[str, str]:
        return {
            "AFFINITY": self.affinity,
            "USER_WEIGHT": self.user_weight,
            "USER_WEIGHT_EXPONENT": str(USER_WEIGHT_EXPONENT),
            "TYPICAL_VALUE": str(TYPICAL_VALUE),
            "HALF_LIFE_DAYS": str(HALF_LIFE_DAYS),
            "HISTORY_CAP": str(HISTORY_CAP),
            "BARS_RETENTION_MINUTES": str(RETENTION_MINUTES),
            "BARS_CLOSE_AFTER_SECONDS": str(CLOSE_AFTER_S),
            "FLUSH_INTERVAL_S": "0.3",
            "COUNTS_FLUSH_INTERVAL_S": "0.5",
            "CHUNK_COST": str(_CHUNK_COST),
        }


USUAL: Final = Mode()


def every_mode(mode: Mode) -> Iterator[Mode]:
    """Yield the mode with each combination of affinity, user weight, store and fsync."""
    for affinity, user_weight, store, fsync in itertools.product(
        *map(get_args, (AffinityName, UserWeight, StoreKind, AppendFsync))
    ):
        yield replace(
            mode, affinity=affinity, user_weight=user_weight, store=store, appendfsync=fsync
        )
