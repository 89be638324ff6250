"""`python -m benchmarks.reads.bare asgi|protocol PORT FILE`: one answer, over and over.

What an answer costs that nothing has to be found out for: as an ASGI callable under uvicorn, which
no framework on uvicorn can beat, and as an asyncio protocol that looks for nothing but the end of a
request's head, which no server on uvloop can. FILE holds the whole answer, head and body.
"""

import asyncio
import sys
from pathlib import Path
from typing import Final, cast

import uvicorn
import uvloop
from starlette.types import Receive, Scope, Send

from infra.local.process import LOOPBACK

_END_OF_HEAD: Final = b"\r\n\r\n"


class Bare(asyncio.Protocol):
    """Answers each request on a connection with the same bytes."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._begun = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what answers are written to."""
        # uvloop's transports are asyncio's in all but their ancestry.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer each head that is whole now."""
        *heads, self._begun = (self._begun + data).split(_END_OF_HEAD)
        if heads:
            self._transport.write(self._answer * len(heads))


async def _serve_protocol(answer: bytes, port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Bare(answer), LOOPBACK, port)
    await server.serve_forever()


def _serve_asgi(answer: bytes, port: int) -> None:
    head, _, body = answer.partition(_END_OF_HEAD)
    pairs = (line.partition(b": ")[::2] for line in head.split(b"\r\n")[1:])
    start = {"type": "http.response.start", "status": 200, "headers": list(pairs)}
    end = {"type": "http.response.body", "body": body}

    async def application(scope: Scope, _receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await send(start)
            await send(end)

    uvicorn.run(
        application,
        host=LOOPBACK,
        port=port,
        loop="uvloop",
        http="httptools",
        lifespan="off",
        access_log=False,
        server_header=False,
        date_header=False,
        log_level="warning",
    )


def main() -> None:
    """Serve until SIGTERM."""
    kind, port, file = sys.argv[1:]
    answer = Path(file).read_bytes()
    if kind == "asgi":
        _serve_asgi(answer, int(port))
    else:
        uvloop.run(_serve_protocol(answer, int(port)))


if __name__ == "__main__":
    main()
