"""G as the trainer builds it from histories, with other weights of users or time."""

from collections.abc import Mapping

import numpy as np

from tests.oracles.gram import gram_matrix
from tests.oracles.histories import DAY_MS, History
from tests.settings.plain_histories import Counts
from tests.settings.plain_lists import latest
from tests.settings.trainer_of_few import HELD_OUT_MOST
from trainer.settings import TrainerSettings


def counts_used(
    streamed: Counts, histories: Mapping[str, History], settings: TrainerSettings
) -> Counts:
    """Return the counts that items' lists are made of."""
    config = settings.counts
    if not config.user_weight_exponent and not config.half_life_days:
        return streamed
    listed = 0 if settings.user_model == "none" else settings.active_users
    read = latest(histories, max(listed, HELD_OUT_MOST, config.users))
    place = {item: k for k, item in enumerate(streamed.items)}
    newest_ms = max((held.ts_ms for user in read for held in histories[user].values()), default=0)
    r = np.zeros((len(read), len(place)))
    for row, user in enumerate(read):
        for item, held in histories[user].items():
            age_days = (newest_ms - held.ts_ms) / DAY_MS
            decay = 2 ** (-age_days / config.half_life_days) if config.half_life_days else 1
            scale = len(histories[user]) ** -config.user_weight_exponent
            r[row, place[item]] = held.unscaled * decay * scale
    return _completed(Counts(streamed.items, gram_matrix(r)), streamed)


def _completed(made: Counts, streamed: Counts) -> Counts:
    """Return counts of some users, and those of items that none of these has from the workers'."""
    own, all_ = made.g.diagonal(), streamed.g.diagonal()
    missing = (own == 0) & (all_ > 0)
    both = (own > 0) & (all_ > 0)
    scale = own[both].sum() / all_[both].sum() if both.any() else 1.0
    theirs = missing[:, None] | missing[None, :]
    return Counts(made.items, made.g + np.where(theirs, streamed.g * scale, 0))
