"""The client: one connection pool, and the endpoints."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Self

from tickrec_client.stream_events import Change

from .connection import Connection
from .endpoints import Endpoints
from .stream import changes

if TYPE_CHECKING:
    from .websocket import Stream


class Tickrec(Endpoints):
    """Asks one API, over connections that all callers share."""

    def __init__(self, url: str, api_key: str = "") -> None:
        super().__init__(Connection(url, api_key))

    def stream_bars(self, instruments: Iterable[int | str]) -> Iterator[Change]:
        """Yield what happens to the bars of up to 500 instruments, without end.

        First the unknown names, if there are any. Then the missed bars, after a lost connection,
        and the newest bar of each instrument, then `Live`, then each bar that changes. A `Gap` says
        that others may have changed.

        Raises:
            TickrecError: a retry would not succeed either.
        """
        return changes(self._connection, "/v1/stream/bars", instruments)

    def stream_quotes(self, instruments: Iterable[int | str]) -> Iterator[Change]:
        """Yield the newest quotes of up to 500 instruments as they change, as `stream_bars`."""
        return changes(self._connection, "/v1/stream/quotes", instruments)

    def stream(self) -> "Stream":
        """Return a WebSocket for bars and quotes of instruments that may change.

        Raises:
            ModuleNotFoundError: websockets is missing: install `tickrec-client[websocket]`.
        """
        try:
            from .websocket import Stream
        except ModuleNotFoundError as missing:
            raise ModuleNotFoundError(
                "stream() needs websockets: install tickrec-client[websocket]", name=missing.name
            ) from missing
        return Stream(self._connection)

    def close(self) -> None:
        """Close all connections."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
