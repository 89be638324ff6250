"""How often a user was shown an item without a click: what is stored, as JSON. Pure."""

from typing import Final

import msgspec

from contracts.feedback import FeedbackType
from contracts.times import DAY_MS

KEPT_DAYS: Final = 28
"""Impressions from longer ago do not matter."""
KEPT_MS: Final = KEPT_DAYS * DAY_MS
ITEMS_MOST: Final = 200
"""Per user: those shown last. With `ANSWERS_KEPT` they take some 20 kB of Redis."""
ANSWERS_KEPT: Final = 3
"""Per item: a message that is sent again counts once as long as it is about one of these answers.
With as many, an entry has less than 64 bytes, which Redis stores compactly."""
_TOKEN_KEPT: Final = 6
"""Characters of an answer's token, 36 bits: two of an item's answers share them with a probability
of 10^-10."""


class Impressions(msgspec.Struct, frozen=True, gc=False):
    """The impressions of an item on a user."""

    n: int
    """since the last click on the item, if there was any"""
    t: int
    """time of the latest impression or click, epoch ms"""
    a: list[str]
    """the last `ANSWERS_KEPT` answers that showed it, latest first, as `mark_of_answer` returns
    them"""

    def after(self, kind: FeedbackType, token: str, ts_ms: int) -> "Impressions | None":
        """Return the impressions after one more message, None if it changes nothing.

        That is so if it was sent before, or is an impression of an answer in which the item was
        clicked already. A click counts from its place in the log on, whatever its time. After a
        pause of `KEPT_DAYS`, counting starts again.

        >>> seen = Impressions(0, 0, []).after("impression", "Jq3xT0mB", 1629061628123)
        >>> seen
        Impressions(n=1, t=1629061628123, a=['iJq3xT0'])
        >>> seen.after("impression", "Jq3xT0mB", 1629061628999) is None
        True
        >>> seen.after("click", "Jq3xT0mB", 1629061629000)
        Impressions(n=0, t=1629061629000, a=['cJq3xT0'])
        """
        impression, click = (mark_of_answer(each, token) for each in ("impression", "click"))
        if click in self.a or (kind == "impression" and impression in self.a):
            return None
        others = [answer for answer in self.a if answer != impression]
        answers = [mark_of_answer(kind, token), *others][:ANSWERS_KEPT]
        before = self.n if ts_ms - self.t <= KEPT_MS else 0
        n = 0 if kind == "click" else before + 1
        return Impressions(n, max(self.t, ts_ms), answers)


def mark_of_answer(kind: FeedbackType, token: str) -> str:
    """Return what is kept of an answer: how the user reacted, and the beginning of its token."""
    return kind[0] + token[:_TOKEN_KEPT]
