"""The client: one connection pool, and the endpoints by subject."""

from types import TracebackType
from typing import Self

from .catalog import Catalog
from .connection import Connection
from .events import Events
from .market import Market
from .operations import Operations
from .recommendations import Recommender
from .users import Users


class Tickrec:
    """Asks one API. Threads may share it, and then share its connections."""

    def __init__(self, url: str, api_key: str = "") -> None:
        self._connection = Connection(url, api_key)
        self.market = Market(self._connection)
        self.catalog = Catalog(self._connection)
        self.recommendations = Recommender(self._connection)
        self.users = Users(self._connection)
        self.events = Events(self._connection)
        self.operations = Operations(self._connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()
