"""A stub of an API process, for nginx to pass requests to.

`python -m tests.infra.upstream PORT` answers with the headers that it got and how often each path
was asked of it. A header `X-Takes-S` says how long an answer takes, and `X-Rest` how long one of
its headers is. Paths under `/busy` answer 503 with `Retry-After`, those with `dropped` in them hang
up unanswered, `/kept` has an ETag, and `/v1/stream/...` sends an event, a second one after a
silence, and then nothing until the client leaves, which it counts as `left`.
"""

import json
import sys
import time
from collections import Counter
from http.server import ThreadingHTTPServer

from infra.local.process import LOOPBACK
from tests.http_server import Handler

ETAG = '"one"'
SILENCE_S = 2.5
"""longer than nginx waits for the answer to a read"""

asked: Counter[str] = Counter()


class Upstream(Handler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer in one packet: two would wait for each other's acknowledgment

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        asked[self.path] += 1
        time.sleep(float(self.headers.get("X-Takes-S", "0")))
        body = {"asked": asked, "headers": dict(self.headers), "padding": "x" * 4096}
        own = {"ETag": ETAG} if self.path == "/kept" else {}
        if "dropped" in self.path:
            self.close_connection = True
        elif self.path.startswith("/v1/stream/"):
            self.stream()
        elif own and ETAG in self.headers.get("If-None-Match", ""):  # weakly: the part after any W/
            self.send(304, **own)
        else:
            is_busy = self.path.startswith("/busy")
            own |= {"Retry-After": "7"} if is_busy else {}
            own["Tickrec-Answer"] = "x" * int(self.headers.get("X-Rest", "0"))
            own["Content-Type"] = "application/json"
            self.send(503 if is_busy else 200, json.dumps(body).encode(), **own)

    def stream(self) -> None:
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for number, silence_s in ((1, SILENCE_S), (2, 0)):
            self.wfile.write(b"event: bar\ndata: %d\n\n" % number)
            self.wfile.flush()
            time.sleep(silence_s)
        self.connection.recv(1)  # nothing comes: it returns when the other side closes
        asked["left"] += 1


if __name__ == "__main__":
    ThreadingHTTPServer((LOOPBACK, int(sys.argv[1])), Upstream).serve_forever()
