"""infra/docker/healthy, the health check of images: against servers that answer and that do not."""

import socket
import time
from functools import partial

from infra.local.process import LOOPBACK
from tests.commands import run
from tests.http_server import Handler, serving

PAGES = {"/health": 200, "/health/ready": 503, "/health/live": 204}


class Pages(Handler):
    """Answers with the status that a path has, and remembers what was asked."""

    protocol_version = "HTTP/1.1"
    asked: list[tuple[str, str | None]]

    def answer(self) -> None:
        self.asked.append((self.path, self.headers["Host"]))
        self.send(PAGES.get(self.path, 404))


check = partial(run, "infra/docker/healthy")


def test_it_passes_for_a_2xx_alone_and_says_what_it_got_instead() -> None:
    Pages.asked = []
    with serving(Pages) as address:
        passed = [
            page for page in (*PAGES, "/nothing") if not check(f"http://{address}{page}").returncode
        ]
        failed = check(f"http://{address}/health/ready")

    assert passed == ["/health", "/health/live"]
    assert failed.returncode == 1
    assert failed.stderr == f"http://{address}/health/ready answers 503\n"
    assert Pages.asked[0] == ("/health", address)


def test_it_fails_before_dockers_timeout_where_nothing_answers() -> None:
    with socket.create_server((LOOPBACK, 0)) as silent:
        started = time.monotonic()
        done = check(f"http://{LOOPBACK}:{silent.getsockname()[1]}/health")

    assert done.returncode != 0
    assert time.monotonic() - started >= 3
