"""An HTTP server in the tests' own process."""

import contextlib
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from infra.local.process import LOOPBACK


class Handler(BaseHTTPRequestHandler):
    """Handles requests as its subclasses say, and logs none of them."""

    def answer(self) -> None:
        """Send an answer."""
        raise NotImplementedError

    def do_GET(self) -> None:
        """Answer a request."""
        self.answer()

    do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815 (the names that http.server looks for)

    def log_message(self, *_: object) -> None:
        """Log nothing."""

    def send(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Send a whole answer; `Content_Type` is the header Content-Type."""
        self.send_response(status)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        for name, value in ({"Content-Length": str(len(body))} | named).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@contextlib.contextmanager
def serving(
    handler: type[BaseHTTPRequestHandler], port: int = 0, tls: ssl.SSLContext | None = None
) -> Iterator[str]:
    """Run a server for the block; yield its address, host:port. Port 0: the system chooses."""
    with ThreadingHTTPServer((LOOPBACK, port), handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"{LOOPBACK}:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
