"""What all write requests share: quotas and bodies.

The key (`api.http.access`), the quota and the headers of the body are checked first, so that a
rejection is cheap: none of the body is read for it. The quota is spent here rather than in the
routes, so that none of them can forget it.

Without keys, all writers share one quota. Addresses would not identify them: all clients behind a
load balancer have its address, and one sender may have many.
"""

from typing import Final

from starlette.requests import Request

from api.http.bodies import check_head, read_body
from api.http.keys.key import key_of
from api.http.quotas import WriteQuota

MAX_EVENTS: Final = 1000
"""Per request."""

_ANYBODY: Final = ""


class Writing:
    """Reads the bodies of write requests, and enforces the writers' quotas."""

    def __init__(self, quota: WriteQuota) -> None:
        self._quota = quota

    def spend_one(self, request: Request) -> None:
        """Spend the cost of a request without a body.

        Raises:
            Problem: the quota is used up.
        """
        self._spend(request, 1)

    async def body_of(self, request: Request) -> bytes:
        """Return the body of a request that makes one change, at the cost of one event.

        Raises:
            Problem: the quota is used up, or `api.http.bodies` rejects the body.
        """
        self._spend(request, 1)
        check_head(request)
        return await read_body(request)

    async def events_of(self, request: Request) -> bytes:
        """Return the body of a request, at the cost of its events: one is spent before it is read.

        Raises:
            Problem: the quota is used up, or `api.http.bodies` rejects the body.
        """
        body = await self.body_of(request)
        self._spend(request, _cost(body) - 1)
        return body

    def _spend(self, request: Request, events: int) -> None:
        key = key_of(request)
        writer, limit = (key.name, key.limit) if key else (_ANYBODY, None)
        self._quota.spend(writer, events, limit)


def _cost(body: bytes) -> int:
    """Return the cost of a body, 1 to `MAX_EVENTS`, before anything is decoded.

    Each event is an object, so there are at most as many as opening braces. Each KiB counts as at
    least one: rejecting a large invalid body takes time, too.

    >>> _cost(b'[{"type": "quote"}, {"type": "quote"}]'), _cost(b"[]"), _cost(b" " * 9999)
    (2, 1, 9)
    """
    return max(1, min(MAX_EVENTS, max(body.count(b"{"), len(body) // 1024)))
