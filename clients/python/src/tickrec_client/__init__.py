"""A client of Tickrec's HTTP API: every `/v1` endpoint, typed.

    with Tickrec("http://127.0.0.1:8000", "tk_...") as tickrec:
        print(tickrec.instrument_bars("GELA", limit=2).bars)

A method's name is made of its endpoint's path. `endpoints` and `structs` are generated from the
API's own table; `connection` documents which requests are retried after a failure.
"""

from .client import Tickrec
from .problems import TickrecError

__all__ = ["Tickrec", "TickrecError"]
