"""What all writing requests share: how much each writer may send.

Key (`api.http.access`), quota and what announces the body are judged by the headers alone, so that
a refusal costs little: not a byte of the body is read for it. The quota is spent here and not by
the routes, so that none of them can forget it.

Without any key all writers share one quota. An address would tell them apart only in part: all who
come through a load balancer have its address, and one sender may have many.
"""

from typing import Final

from starlette.requests import Request

from api.http.bodies import check_head, read_body
from api.http.keys.key import key_of
from api.http.quotas import WriteQuota

MAX_EVENTS: Final = 1000
"""Of one request."""

_ANYBODY: Final = ""


class Writing:
    """Takes the bodies of writing requests, and keeps the writers' quotas."""

    def __init__(self, quota: WriteQuota) -> None:
        self._quota = quota

    def spend_one(self, request: Request) -> None:
        """Spend what a request without a body costs.

        Raises:
            Problem: the quota is used up.
        """
        self._spend(request, 1)

    async def body_of(self, request: Request) -> bytes:
        """Return the body of a request that changes one thing, at the cost of one.

        Raises:
            Problem: the quota is used up; the body is none that `api.http.bodies` takes.
        """
        self._spend(request, 1)
        check_head(request)
        return await read_body(request)

    async def events_of(self, request: Request) -> bytes:
        """Return the body of a request, at the cost of its events: of one before it is read.

        Raises:
            Problem: the quota is used up; the body is none that `api.http.bodies` takes.
        """
        body = await self.body_of(request)
        self._spend(request, _cost(body) - 1)
        return body

    def _spend(self, request: Request, events: int) -> None:
        key = key_of(request)
        writer, limit = (key.name, key.limit) if key else (_ANYBODY, None)
        self._quota.spend(writer, events, limit)


def _cost(body: bytes) -> int:
    """Return what a body takes of the quota, 1 to `MAX_EVENTS`, before anything is decoded.

    Each event is an object, so there are no more of them than opening braces. Each KiB counts as
    one at least: to refuse a large body of nothing takes time, too.

    >>> _cost(b'[{"type": "quote"}, {"type": "quote"}]'), _cost(b"[]"), _cost(b" " * 9999)
    (2, 1, 9)
    """
    return max(1, min(MAX_EVENTS, max(body.count(b"{"), len(body) // 1024)))
