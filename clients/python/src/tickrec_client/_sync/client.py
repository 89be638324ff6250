"""The client: one connection pool, and the endpoints."""

from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self

from tickrec_client.stream_events import Change

from .connection import Connection
from .endpoints import Endpoints
from .stream import changes


class Tickrec(Endpoints):
    """Asks one API, over connections that all callers share."""

    def __init__(self, url: str, api_key: str = "") -> None:
        super().__init__(Connection(url, api_key))

    def stream_bars(self, instruments: Iterable[int | str]) -> Iterator[Change]:
        """Yield what happens to the bars of up to 500 instruments, without end.

        First the unknown names, if there are any. Then the missed bars, after a lost connection,
        and the newest bar of each instrument, then `Live`, then each bar that changes.

        Raises:
            TickrecError: a retry would not succeed either.
        """
        return changes(self._connection, instruments)

    def close(self) -> None:
        """Close all connections."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
