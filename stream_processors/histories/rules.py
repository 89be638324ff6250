"""The rules by which a worker folds events, from its settings. Pure."""

from dataclasses import dataclass

from contracts.affinities import Affinity, affinity_of, binary
from stream_processors.histories import fold, scaled_fold
from stream_processors.histories.fold import Change, fold_event, fold_rejection
from stream_processors.histories.history import History
from stream_processors.histories.scaled_fold import (
    InverseDegree,
    MeanValue,
    UserWeight,
    fold_scaled_event,
)
from stream_processors.settings import Settings


@dataclass(frozen=True, slots=True)
class HistoryRules:
    """How events become histories."""

    affinity: Affinity
    """updates a user's affinity for an item by an event"""
    cap: int
    """the maximum length of a history, and as many rejected items"""
    weight: UserWeight | None = None
    """a user's weight; None: all count alike"""
    retention_days: float = 730.0
    """of event time: a user is removed whose last event is that much older than the newest one"""

    @property
    def is_scaled(self) -> bool:
        """Whether histories contain the user's scale."""
        return self.weight is not None

    @property
    def counts_holders(self) -> bool:
        """Whether changes count the users of an item: G[i, i] does so if affinities are 1."""
        return self.is_scaled or self.affinity is not binary

    @property
    def changes_an_event(self) -> int:
        """The maximum number of changes by an event."""
        return scaled_fold.CHANGES_AN_EVENT if self.is_scaled else fold.CHANGES_AN_EVENT

    @property
    def rows_an_event(self) -> int:
        """The maximum number of entries of G that an event changes."""
        return self.changes_an_event * self.cap

    def fold(
        self,
        history: History,
        offset: int,
        item: int,
        event_weight: float,
        ts_ms: int,
        value: float,
    ) -> list[Change]:
        """Fold one event into a history; return the changes of G.

        Args:
            history: changed in place.
            offset: of the event in its partition's log.
            item: what the user touched.
            event_weight: of the event's type.
            ts_ms: event time, epoch ms.
            value: of the transaction, NaN if it has none.
        """
        if event_weight <= 0:
            affinity = self.affinity(0.0, event_weight, ts_ms)
            return fold_rejection(history, offset, item, affinity, ts_ms, self.cap)
        if self.weight is None:
            return fold_event(history, offset, item, event_weight, ts_ms, self.cap, self.affinity)
        return fold_scaled_event(
            history,
            offset,
            item,
            event_weight,
            ts_ms,
            value,
            self.cap,
            self.affinity,
            self.weight,
        )


def rules_of(settings: Settings) -> HistoryRules:
    """Return the rules from the settings."""
    return HistoryRules(
        affinity=affinity_of(settings.affinity, settings.half_life_days),
        cap=settings.history_cap,
        weight=_user_weight(settings),
        retention_days=settings.history_retention_days,
    )


def _user_weight(settings: Settings) -> UserWeight | None:
    exponent = settings.user_weight_exponent
    if settings.user_weight == "inverse-degree":
        return InverseDegree(exponent)
    if settings.user_weight == "value":
        return MeanValue(exponent, settings.typical_value)
    return None
