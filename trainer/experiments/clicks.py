"""What the users of two generations were shown and clicked, from the topic `feedback`.

Each impression and each click counts once, and clicks without an impression are counted separately
(`trainer.experiments.reactions`).

A canary's user may still report what was shown before the trial began: for a user with impressions
of the canary, those of the served generation are left out. The topic is read from the start of the
trial each time that the canary may be judged.
"""

from collections.abc import Iterable
from typing import Final

import numpy as np

from contracts.feedback import SHARED_SOURCES, Feedback, parse_request_id
from runtime.kafka.config import KafkaConfig
from trainer.experiments.feedback import read_feedback
from trainer.experiments.reactions import Hashes, Reactions
from trainer.experiments.verdict import Clicked, Clicks

_NOBODY: Final[Hashes] = np.empty(0, np.uint64)


def read_clicks(
    kafka: KafkaConfig, generations: tuple[str, str], since_ms: int, now_ms: int
) -> Clicks | None:
    """Return what was shown and clicked of both generations; None if Kafka does not answer.

    Args:
        kafka: how to reach it.
        generations: the served one's name, the canary's.
        since_ms: feedback that Kafka has had since then.
        now_ms: the clock.
    """
    return read_feedback(kafka, since_ms, now_ms, lambda messages: count(messages, generations))


def count(messages: Iterable[Feedback], generations: tuple[str, str]) -> Clicks:
    """Return what was shown and clicked of both generations' recommendations to users. Pure.

    Other answers, such as similar instruments, are the served generation's for all users, so they
    do not compare the two.
    """
    served, canary = Reactions(), Reactions()
    of = dict(zip(generations, (served, canary), strict=True))
    for message in messages:
        request = parse_request_id(message.request_id)
        reactions = None if request.source in SHARED_SOURCES else of.get(request.generation)
        if reactions is not None:
            reactions.add(message)
    return Clicks(_clicked(served, without=canary.users()), _clicked(canary))


def _clicked(reactions: Reactions, without: Hashes = _NOBODY) -> Clicked:
    """Return what users were shown and clicked, but for the users `without`."""
    seen = reactions.impressions()
    counts = ~np.isin(seen.users, without)
    _, user = np.unique(seen.users[counts], return_inverse=True)
    n_users = user.max(initial=-1) + 1
    return Clicked(
        impressions=np.bincount(user),
        clicks=np.bincount(user[seen.clicked[counts]], minlength=n_users),
        unmatched=seen.unmatched,
    )
