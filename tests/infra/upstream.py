"""A stub of an API process, for nginx to pass requests to.

`python upstream.py PORT` answers with the headers that it got and how often each path was asked of
it. A header `X-Takes-S` says how long an answer takes, and `X-Rest` how long one of its headers is.
Paths under `/busy` answer 503 with `Retry-After`, those with `dropped` in them hang up unanswered,
`/kept` has an ETag, and `/v1/stream/...` sends an event, a second one after a silence, and then
nothing until the client leaves, which it counts as `left`.
"""

import json
import sys
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ETAG = '"one"'
SILENCE_S = 2.5
"""longer than nginx waits for the answer to a read"""

asked: Counter[str] = Counter()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer in one packet: two would wait for each other's acknowledgment

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self._answer()

    do_PUT = do_DELETE = do_PATCH = do_POST  # noqa: N815 (the names that http.server looks for)

    def log_message(self, *_: object) -> None:
        """Log nothing."""

    def _answer(self) -> None:
        asked[self.path] += 1
        time.sleep(float(self.headers.get("X-Takes-S", "0")))
        if "dropped" in self.path:
            self.close_connection = True
        elif self.path.startswith("/busy"):
            self._send(503, {"Retry-After": "7"})
        elif self.path.startswith("/v1/stream/"):
            self._stream()
        elif self.path != "/kept":
            self._send(200)
        elif ETAG in self.headers.get("If-None-Match", ""):  # weakly: the part after any W/
            self._send(304, {"ETag": ETAG}, body=b"")
        else:
            self._send(200, {"ETag": ETAG})

    def _send(
        self, status: int, headers: dict[str, str] | None = None, body: bytes | None = None
    ) -> None:
        if body is None:
            said = {"asked": asked, "headers": dict(self.headers), "padding": "x" * 4096}
            body = json.dumps(said).encode()
        rest = "x" * int(self.headers.get("X-Rest", "0"))
        headers = {"Content-Type": "application/json", "Tickrec-Answer": rest, **(headers or {})}
        if body:
            headers["Content-Length"] = str(len(body))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _stream(self) -> None:
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self._event(1)
        time.sleep(SILENCE_S)
        self._event(2)
        self.connection.recv(1)  # nothing comes: it returns when the other side closes
        asked["left"] += 1

    def _event(self, number: int) -> None:
        self.wfile.write(b"event: bar\ndata: %d\n\n" % number)
        self.wfile.flush()


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
