"""The client: one connection pool, and the endpoints."""

from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self

from .connection import Connection
from .endpoints import Endpoints
from .stream import Change, changes


class Tickrec(Endpoints):
    """Asks one API. Threads may share it, and then share its connections."""

    def __init__(self, url: str, api_key: str = "") -> None:
        super().__init__(Connection(url, api_key))

    def stream_bars(self, instruments: Iterable[int | str]) -> Iterator[Change]:
        """Yield what happens to the bars of up to 500 instruments: see `stream.changes`."""
        return changes(self._connection, instruments)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()
