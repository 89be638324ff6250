"""uvicorn's WebSocket protocol, which logs no requested paths."""

import logging
from typing import Any, Final

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

_LOGGED_FROM: Final = logging.WARNING


class QuietWebSocket(WebSocketsSansIOProtocol):
    """One WebSocket."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.logger = _logger
        self.conn.logger = _logger


_logger: Final = logging.getLogger("uvicorn.websocket")
_logger.setLevel(_LOGGED_FROM)
