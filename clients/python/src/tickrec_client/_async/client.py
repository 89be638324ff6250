"""The client: one connection pool, and the endpoints."""

from collections.abc import AsyncIterator, Iterable
from types import TracebackType
from typing import Self

from tickrec_client.stream_events import Change

from .connection import AsyncConnection
from .endpoints import AsyncEndpoints
from .stream import changes


class AsyncTickrec(AsyncEndpoints):
    """Asks one API, over connections that all callers share."""

    def __init__(self, url: str, api_key: str = "") -> None:
        super().__init__(AsyncConnection(url, api_key))

    def stream_bars(self, instruments: Iterable[int | str]) -> AsyncIterator[Change]:
        """Yield what happens to the bars of up to 500 instruments, without end.

        First the unknown names, if there are any. Then the missed bars, after a lost connection,
        and the newest bar of each instrument, then `Live`, then each bar that changes.

        Raises:
            TickrecError: a retry would not succeed either.
        """
        return changes(self._connection, instruments)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._connection.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()
