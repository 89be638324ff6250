"""Replies that are made once for all who request the same."""

from collections.abc import Callable, Hashable
from typing import Final

from api.http.replies import Reply

_KEPT: Final = 256
"""Replies of up to some kilobytes each."""


class KeptReplies:
    """Caches replies until their inputs change."""

    def __init__(self) -> None:
        self._made_of: tuple[object, ...] = ()
        self._replies: dict[Hashable, Reply] = {}

    def of(self, made_of: tuple[object, ...], asked: Hashable, make: Callable[[], Reply]) -> Reply:
        """Return the reply to a request.

        Args:
            made_of: what all replies are made of; objects that are equal are the same.
            asked: the values of the request's parameters.
            make: makes the reply, if it is not kept.
        """
        if made_of != self._made_of or len(self._replies) >= _KEPT:
            self._made_of, self._replies = made_of, {}
        known = self._replies.get(asked)
        if known is None:
            known = self._replies[asked] = make()
        return known
