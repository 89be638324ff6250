"""The workers' settings by which a file's events become histories, as the stream would fold them.

An item that left a capped history and came back counts with all of its events, or has the place of
one that was rejected since; rejections are remembered without a cap; and a user's scale is that of
the history as it ends: the stream, which cannot know the end, lags a little behind.
"""

from typing import TYPE_CHECKING

import numpy as np
from pydantic import ConfigDict

from contracts.affinities import FURTHEST_VALUE, weights_of
from contracts.messages import Floats
from runtime.settings import FoldingSettings
from trainer.evaluation.interactions import Mask

if TYPE_CHECKING:  # commands that only read these settings need no second more
    import pandas as pd


def counting(events: "pd.DataFrame") -> Mask:
    """Return (n_events,) which of them count: those after the user's last rejection of their item.

    Args:
        events: columns user, item and weight (of the event's type), in the log's order.
    """
    places, rejects = np.arange(len(events)), events["weight"].to_numpy() <= 0
    if not rejects.any():
        return ~rejects
    rejected = events.assign(place=np.where(rejects, places, -1))
    last = rejected.groupby(["user", "item"], sort=False)["place"].transform("max")
    counts: Mask = places > last.to_numpy()
    return counts


class WorkerRules(FoldingSettings):
    """The workers' settings that fold events."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def histories(self, events: "pd.DataFrame") -> "pd.DataFrame":
        """Return a row for each user and item: user, item, ts_ms, first_ms, affinity, scale.

        Args:
            events: columns user, item, ts_ms, weight (of the event's type), value (NaN if none), in
                the log's order.
        """
        pairs = ["user", "item"]
        counts = counting(events)
        weighed = events.assign(affinity=np.where(counts, self._weights(events), 0))
        add = "sum" if self.affinity == "weighted" else "max"
        by_pair = weighed.groupby(pairs, sort=False)
        found = by_pair.agg(
            ts_ms=("ts_ms", "max"), first_ms=("ts_ms", "min"), affinity=("affinity", add)
        ).reset_index()
        # What is too old to weigh anything is not kept, and neither is what was rejected.
        found = found[found["affinity"] > 0]
        # The cap keeps, of items of one time, those of greater ids.
        latest = found.sort_values(["ts_ms", "item"], ascending=[False, False], kind="stable")
        kept = latest[latest.groupby("user", sort=False).cumcount() < self.history_cap]
        return kept.assign(scale=self._scales(kept, events[counts]))

    def _weights(self, events: "pd.DataFrame") -> Floats:
        weight, ts_ms = events["weight"].to_numpy(np.float64), events["ts_ms"].to_numpy(np.int64)
        return weights_of(self.affinity, weight, ts_ms, self.half_life_days)

    def _scales(self, kept: "pd.DataFrame", events: "pd.DataFrame") -> Floats:
        """Return the scale of the user of each row."""
        if self.user_weight == "inverse-degree":
            degrees = kept.groupby("user", sort=False)["item"].transform("size")
            return np.asarray(degrees.to_numpy(np.float64) ** -self.user_weight_exponent)
        if self.user_weight == "value":
            least = self.typical_value / FURTHEST_VALUE
            most = self.typical_value * FURTHEST_VALUE
            bounded = events.assign(value=events["value"].clip(least, most))
            of_kept = kept[["user", "item"]].merge(bounded, on=["user", "item"], how="left")
            means = kept["user"].map(of_kept.groupby("user")["value"].mean())
            relative = means.fillna(self.typical_value).to_numpy(np.float64) / self.typical_value
            return np.asarray(relative**self.user_weight_exponent)
        return np.ones(len(kept))
