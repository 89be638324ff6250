"""Events of users to their histories, many users at once: what the stream's fold makes. Pure.

A history follows from sums and maxima of each item's events, unless the cap made an item leave or
the user was taken out: then the order of the events matters, and they are folded one at a time.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from contracts.affinities import FURTHEST_VALUE, weights_of
from contracts.log_position import LogPosition
from contracts.messages import Floats, Ints
from runtime.settings import FoldingSettings
from trainer.counts.matrices import entry_rows
from trainer.folding.running_history import Entry, RunningHistory

Mask = npt.NDArray[np.bool_]


class Events(NamedTuple):
    """Events as columns of one length, of one user after the other, each in the log's order."""

    log: Ints
    offset: Ints
    item: Ints
    weight: Floats
    """of each one's type; NaN: a tombstone"""
    ts_ms: Ints
    value: Floats
    """of the transaction, NaN if it has none"""
    last_event_before_ms: Ints
    """of a tombstone"""
    erased_at_ms: Ints
    """of a tombstone, `NEVER_MS` if it does not say"""

    def where(self, rows: Ints | Mask | slice) -> "Events":
        """Return some of them."""
        return Events(
            self.log[rows],
            self.offset[rows],
            self.item[rows],
            self.weight[rows],
            self.ts_ms[rows],
            self.value[rows],
            self.last_event_before_ms[rows],
            self.erased_at_ms[rows],
        )


@dataclass(frozen=True, slots=True, eq=False)
class Folded:
    """Histories, one after the other; none is empty."""

    users: Ints
    """(n_users,) which of the users that were folded each is of"""
    log: Ints
    """(n_users,) of the last event folded in"""
    offset: Ints
    """(n_users,) the same"""
    last_ts_ms: Ints
    """(n_users,)"""
    scales: Floats
    """(n_users,) how much each user counts"""
    lengths: Ints
    """(n_users,)"""
    items: Ints
    """(entries,) ascending within a user"""
    affinities: Floats
    """(entries,) without the users' scales"""
    ts_ms: Ints
    """(entries,) last event times"""
    first_ms: Ints
    """(entries,) first event times"""


def fold(events: Events, lengths: Ints, rules: FoldingSettings) -> list[Folded]:
    """Return the histories of some users, in some parts.

    Args:
        events: all of theirs.
        lengths: (n_users,) how many events each has.
        rules: how events become histories.
    """
    user = np.repeat(np.arange(len(lengths)), lengths)
    weights = _weights(events, rules)
    one_by_one = _need_their_order(events, user, weights, len(lengths), rules.history_cap)
    at_once = ~one_by_one[user]
    starts = np.cumsum(lengths) - lengths
    folded = [
        _fold_one(events.where(slice(start, start + lengths[which])), which, rules)
        for which, start in zip(
            np.flatnonzero(one_by_one).tolist(), starts[one_by_one].tolist(), strict=True
        )
    ]
    if at_once.any():
        folded.append(_fold_at_once(events.where(at_once), user[at_once], weights[at_once], rules))
    return [part for part in folded if len(part.users)]


def of_running(histories: Sequence[RunningHistory], rules: FoldingSettings) -> Folded:
    """Return histories that were folded one event at a time, without the empty ones."""
    some = [(which, history) for which, history in enumerate(histories) if history.entries]
    of_each = [sorted(history.entries.items()) for _, history in some]
    entries: list[tuple[int, Entry]] = [entry for its in of_each for entry in its]
    lengths = np.array([len(its) for its in of_each], np.int64)
    ts_ms = np.array([entry.ts_ms for _, entry in entries], np.int64)
    return Folded(
        users=np.array([which for which, _ in some], np.int64),
        log=np.array([history.offset.incarnation for _, history in some], np.int64),
        offset=np.array([history.offset.offset for _, history in some], np.int64),
        last_ts_ms=np.array([history.last_ts_ms for _, history in some], np.int64),
        scales=_scales(
            lengths,
            np.array([entry.total for _, entry in entries], np.float64),
            np.array([entry.n_values for _, entry in entries], np.int64),
            rules,
        ),
        lengths=lengths,
        items=np.array([item for item, _ in entries], np.int64),
        affinities=np.array([entry.affinity for _, entry in entries], np.float64),
        ts_ms=ts_ms,
        first_ms=np.array([entry.first_ms for _, entry in entries], np.int64),
    )


def run(history: RunningHistory, events: Events) -> None:
    """Fold events of one user into the history."""
    for log, offset, item, weight, ts_ms, value, before_ms, erased_at_ms in zip(
        *(column.tolist() for column in events), strict=True
    ):
        if math.isnan(weight):
            history.erase(LogPosition(log, offset), before_ms, erased_at_ms)
        else:
            history.add(LogPosition(log, offset), item, weight, ts_ms, value)


def _fold_one(events: Events, which: int, rules: FoldingSettings) -> Folded:
    history = RunningHistory(rules)
    run(history, events)
    folded = of_running([history], rules)
    folded.users[:] = which
    return folded


def _need_their_order(events: Events, user: Ints, weights: Floats, n_users: int, cap: int) -> Mask:
    """Return (n_users,) whose events have to be folded one at a time."""
    needed = np.zeros(n_users, np.bool_)
    # What is too old to weigh anything is no event to the stream; what weighs less is a rejection.
    needed[user[np.isnan(events.weight) | (weights <= 0)]] = True
    order = np.lexsort((events.item, user))
    is_new = np.ones(len(order), np.bool_)
    by_item, by_user = events.item[order], user[order]
    is_new[1:] = (by_item[1:] != by_item[:-1]) | (by_user[1:] != by_user[:-1])
    needed |= np.bincount(by_user[is_new], minlength=n_users) > cap
    return needed


def _fold_at_once(events: Events, user: Ints, weights: Floats, rules: FoldingSettings) -> Folded:
    """Return the histories of users whose items all stay."""
    # Stable: what an item's events weigh is summed up in their order, as the stream does.
    order = np.lexsort((events.item, user))
    by_user, item = user[order], events.item[order]
    is_first = np.ones(len(order), np.bool_)
    is_first[1:] = (item[1:] != item[:-1]) | (by_user[1:] != by_user[:-1])
    starts, pair = np.flatnonzero(is_first), np.cumsum(is_first) - 1
    ts_ms = np.maximum.reduceat(events.ts_ms[order], starts)
    if rules.affinity == "weighted":
        # Adds from left to right, which reduceat does not.
        affinities = np.bincount(pair, weights[order])
    else:
        affinities = np.maximum.reduceat(weights[order], starts)
    users, last = _last_of_each(user)
    lengths = np.diff(np.append(np.searchsorted(by_user[starts], users), len(starts)))
    values, has_value = _values(events.value[order], rules)
    return Folded(
        users=users,
        log=events.log[last],
        offset=events.offset[last],
        last_ts_ms=_greatest(ts_ms, lengths),
        scales=_scales(
            lengths,
            np.bincount(pair, values).astype(np.float64),
            np.bincount(pair, has_value).astype(np.int64),
            rules,
        ),
        lengths=lengths,
        items=item[starts],
        affinities=affinities.astype(np.float64),
        ts_ms=ts_ms,
        first_ms=np.minimum.reduceat(events.ts_ms[order], starts),
    )


def _last_of_each(user: Ints) -> tuple[Ints, Ints]:
    """Return the users, and the place of the last event of each."""
    is_last = np.ones(len(user), np.bool_)
    is_last[:-1] = user[1:] != user[:-1]
    last = np.flatnonzero(is_last)
    return user[last], last


def _weights(events: Events, rules: FoldingSettings) -> Floats:
    """Return (n_events,) what each weighs; 1 of a tombstone."""
    weights = np.ones(len(events.weight))
    weighed = ~np.isnan(events.weight)
    of_types, ts_ms = events.weight[weighed], events.ts_ms[weighed]
    weights[weighed] = weights_of(rules.affinity, of_types, ts_ms, rules.half_life_days)
    return weights


def _values(values: Floats, rules: FoldingSettings) -> tuple[Floats, Mask]:
    """Return the values as they count, 0 where there is none, and which there are."""
    has_value = ~np.isnan(values)
    least, most = rules.typical_value / FURTHEST_VALUE, rules.typical_value * FURTHEST_VALUE
    return np.where(has_value, np.clip(values, least, most), 0.0), has_value


def _scales(lengths: Ints, totals: Floats, n_values: Ints, rules: FoldingSettings) -> Floats:
    """Return (n_users,) the scale of each: what `USER_WEIGHT` says of the history as it ends."""
    if rules.user_weight == "inverse-degree":
        return np.asarray(lengths.astype(np.float64) ** -rules.user_weight_exponent)
    scales = np.ones(len(lengths))
    if rules.user_weight == "value" and len(lengths):
        user = entry_rows(np.append(0, np.cumsum(lengths)))
        of_user = np.bincount(user, totals)
        n_of_user = np.bincount(user, n_values)
        valued = n_of_user > 0
        means = of_user[valued] / n_of_user[valued]
        scales[valued] = (means / rules.typical_value) ** rules.user_weight_exponent
    return scales


def _greatest(values: Ints, lengths: Ints) -> Ints:
    """Return the greatest of each of several runs of values, none of which is empty."""
    if not len(lengths):
        return np.empty(0, np.int64)
    return np.maximum.reduceat(values, np.cumsum(lengths) - lengths)
