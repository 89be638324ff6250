"""A stand-in for an API process, so that nginx has something to pass requests to.

`python upstream.py PORT` answers with the headers that it got and how often each path was asked of
it. Paths under `/busy` answer 503 with `Retry-After`, those under `/dropped` hang up unanswered.
"""

import json
import sys
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

asked: Counter[str] = Counter()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer in one packet: two would wait for each other's acknowledgment

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer()

    def log_message(self, *_: object) -> None:
        """Log nothing."""

    def _answer(self) -> None:
        asked[self.path] += 1
        if self.path.startswith("/dropped"):
            self.close_connection = True
            return
        busy = self.path.startswith("/busy")
        body = json.dumps(
            {"asked": asked, "headers": dict(self.headers), "padding": "x" * 4096}
        ).encode()
        self.send_response(503 if busy else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if busy:
            self.send_header("Retry-After", "7")
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
