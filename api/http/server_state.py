"""What the server (`api.hot`) and the application agree on: state, streams and their bounds."""

from typing import Final

DRAINING: Final = "draining"
"""Set in the lifespan state once the server is shutting down."""
CONNECTIONS: Final = "connections"
"""How many may be open, in the lifespan state."""
CORS: Final = "cors"
"""In the lifespan state: whether cross-origin requests are allowed."""

WEBSOCKET_PATH: Final = "/v1/stream"
"""The only path whose connections are upgraded."""
BARS_PATH: Final = "/v1/stream/bars"
QUOTES_PATH: Final = "/v1/stream/quotes"
PATHS: Final = frozenset({WEBSOCKET_PATH, BARS_PATH, QUOTES_PATH})
MAX_MESSAGE_BYTES: Final = 64 * 1024
"""Of a client: the symbols of as many instruments as a stream may have take a quarter of it."""
HEARTBEAT_S: Final = 15.0
"""The interval of comments and pings."""
STALLED_AFTER_S: Final = 30.0
"""A client that reads nothing for so long, or does not answer a ping, is dropped."""
