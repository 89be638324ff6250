"""Reads what exploration says about a variant's ranking: `trainer.judging.off_policy`."""

from array import array
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np

from contracts.exploration import Draw, decode_draw
from contracts.feedback import Feedback, decode_shown, parse_request_id, shown_bits
from contracts.figures import Exploration
from contracts.times import DAY_MS
from runtime.kafka.config import KafkaConfig
from trainer.experiments.feedback import read_feedback
from trainer.experiments.reactions import Reactions
from trainer.judging.off_policy import Seen, estimated

WINDOW_DAYS: Final = 7
"""Users return within it, so each counts with all that was shown to them."""
ESTIMATED_EVERY: Final = timedelta(hours=1)
"""All feedback of the window is read for it, that of other variants included."""
_ANSWERS_KEPT: Final = 4096
"""Decoded request ids: the messages of one answer mostly follow each other."""


def read_exploration(
    kafka: KafkaConfig, variant: str, last: Exploration | None, now: datetime
) -> Exploration | None:
    """Return what the latest feedback says about a variant that explores, None if nothing.

    Args:
        kafka: how to reach it.
        variant: explores.
        last: what was estimated before, which is returned if it is new enough.
        now: the clock.
    """
    if last is not None and now < datetime.fromisoformat(last.at) + ESTIMATED_EVERY:
        return last
    now_ms = round(now.timestamp() * 1000)
    since_ms = now_ms - WINDOW_DAYS * DAY_MS
    seen = read_feedback(kafka, since_ms, now_ms, lambda messages: seen_in(messages, variant))
    return last if seen is None else estimated(seen, now.isoformat())


def seen_in(messages: Iterable[Feedback], variant: str) -> Seen:
    """Return what users were shown of a variant's answers that may have explored."""
    reactions, chance, explored = Reactions(), array("d"), array("b")
    for message in messages:
        answer = _answer(message.request_id)
        if answer is None or answer.variant != variant:
            continue
        bits = shown_bits(message.instrument_id)
        if answer.shown.count(bits) != 1:  # not in it, or as good as another one
            continue
        reactions.add(message)
        if message.type == "impression":
            slot = answer.shown.index(bits)
            chance.append(answer.draw.chance(slot, len(answer.shown)))
            explored.append(slot in answer.draw.explored)
    found = reactions.impressions()
    _, user = np.unique(found.users, return_inverse=True)
    return Seen(
        user,
        found.clicked,
        np.frombuffer(chance)[found.first],
        np.frombuffer(explored, np.bool_)[found.first],
    )


class _Answer(NamedTuple):
    variant: str
    shown: tuple[int, ...]
    draw: Draw


@lru_cache(_ANSWERS_KEPT)
def _answer(request_id: str) -> _Answer | None:
    """Return what an id says of its answer; None if that did not explore, or nobody can tell."""
    request = parse_request_id(request_id)
    if request.draw is None or request.shown is None:
        return None
    try:
        return _Answer(request.variant, decode_shown(request.shown), decode_draw(request.draw))
    except ValueError:  # of a later release; the API lets no damaged ones pass
        return None
