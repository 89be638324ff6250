"""What the server, which handles connections, and the streams (`api.live`) agree on."""

from typing import Final

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
