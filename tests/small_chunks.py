"""A worker whose script calls write little, so that a flush takes several of them.

`python -m tests.small_chunks` runs it; `CHUNK_COST` in its environment says how little.
"""

import os

from stream_processors.__main__ import main
from stream_processors.store.store import Store

Store.chunk_cost = int(os.environ["CHUNK_COST"])
main()
