"""A client of Tickrec's HTTP API: every `/v1` endpoint, typed, with and without asyncio.

    with Tickrec("http://127.0.0.1:8000", "tk_...") as tickrec:
        print(tickrec.instrument_bars("GELA", limit=2).bars)

`structs` and the methods are generated from the API's own table of endpoints; `retries` documents
which requests are sent again after a failure.
"""

from ._async.client import AsyncTickrec
from ._sync.client import Tickrec
from .problems import TickrecError

__all__ = ["AsyncTickrec", "Tickrec", "TickrecError"]
