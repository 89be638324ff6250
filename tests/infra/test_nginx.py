"""infra/nginx/nginx.conf in the real nginx, before two processes that stand in for the API."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from api.http.answer_headers import SECURITY_HEADERS
from api.http.reply import MAX_HEADER_BYTES
from infra.local.process import LOOPBACK, free_port, running
from tests.contracts.test_messages import REACHABLE
from tests.infra.door import CONFIG, door, needs_nginx, served
from tests.infra.upstream import ETAG
from tests.patience import PATIENCE_S, eventually

UPSTREAM = (sys.executable, "-m", "tests.infra.upstream")
REST_BYTES = MAX_HEADER_BYTES + 1_000
"""the other headers of an answer need some more"""

pytestmark = needs_nginx


@dataclass
class Proxy:
    client: httpx.Client
    apis: list[subprocess.Popen[bytes]]
    api_urls: list[str]
    output: Path

    def asked(self, path: str) -> int:
        said = [httpx.get(f"{url}/counts", timeout=PATIENCE_S) for url in self.api_urls]
        counts = [answer.json()["asked"] for answer in said]
        return sum(count.get(path, 0) for count in counts)


@contextmanager
def proxied(folder: Path) -> Iterator[Proxy]:
    with ExitStack() as stack:
        ports = [free_port(), free_port()]
        upstreams = [
            served(f"api-{port}", port, [*UPSTREAM, str(port)], folder, "/") for port in ports
        ]
        apis = [stack.enter_context(running(upstream)) for upstream in upstreams]
        nginx = door(folder, ports, "/ready")
        stack.enter_context(running(nginx))
        client = stack.enter_context(httpx.Client(base_url=nginx.address, timeout=PATIENCE_S))
        urls = [upstream.address for upstream in upstreams]
        yield Proxy(client, apis, urls, nginx.command.log)


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """One for all tests that leave its processes alive."""
    with proxied(tmp_path_factory.mktemp("nginx")) as proxy:
        yield proxy


@pytest.fixture
def doomed(tmp_path: Path) -> Iterator[Proxy]:
    """One whose API processes may be killed."""
    with proxied(tmp_path) as proxy:
        yield proxy


def assert_problem(answer: httpx.Response, status: int, slug: str) -> None:
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["type"] == f"urn:tickrec:problem:{slug}"
    assert answer.json()["request_id"] == answer.headers["X-Request-Id"]
    assert answer.headers.get("Retry-After") == ("1" if status in (429, 503) else None)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_process_killed_under_load_fails_no_read(doomed: Proxy) -> None:
    statuses = []
    for number in range(300):
        if number == 100:
            doomed.apis[0].kill()
        statuses.append(doomed.client.get("/v1/instruments/4/bars").status_code)

    assert statuses == [200] * 300


@pytest.mark.slow
def test_a_process_that_hangs_costs_a_read_two_seconds_but_not_its_answer(doomed: Proxy) -> None:
    doomed.apis[0].send_signal(signal.SIGSTOP)

    answers = [doomed.client.get("/v1/instruments") for _ in range(4)]

    assert [answer.status_code for answer in answers] == [200] * 4
    lines = [json.loads(line)["tickrec"] for line in doomed.output.read_text().splitlines()]
    waits = [line["upstream_s"] for line in lines if line["upstream_status"] == "504, 200"]
    assert waits
    assert all(1.9 < float(wait.partition(",")[0]) < PATIENCE_S for wait in waits)


def test_each_503_of_the_api_reaches_the_client_and_takes_no_process_out(proxy: Proxy) -> None:
    answers = [proxy.client.get("/busy/often") for _ in range(20)]

    assert {answer.status_code for answer in answers} == {503}
    assert {answer.headers["Retry-After"] for answer in answers} == {"7"}
    assert proxy.asked("/busy/often") == 20, "asked another process, too"


@pytest.mark.parametrize(
    ("method", "path", "processes"),
    [
        ("GET", "/dropped/read", 2),
        ("POST", "/v1/recommendations?dropped", 2),
        *((method, "/dropped/write", 1) for method in ("POST", "PUT")),
    ],
)
def test_without_an_answer_a_read_is_asked_of_the_other_process_and_a_write_is_not(
    doomed: Proxy, method: str, path: str, processes: int
) -> None:
    body = None if method == "GET" else {"user_id": "ABC"}
    assert_problem(doomed.client.request(method, path, json=body), 503, "no-process")
    assert doomed.asked(path) == processes
    assert doomed.client.get("/v1/instruments/4/bars").status_code == 200


def test_each_user_that_can_be_written_can_be_read_and_erased_through_nginx(proxy: Proxy) -> None:
    for user_id in REACHABLE:
        path = f"/v1/users/{quote(user_id, safe='')}"
        url = proxy.client.base_url.copy_with(raw_path=path.encode())
        for n, method in enumerate(("GET", "PUT", "POST", "DELETE"), start=1):
            assert proxy.client.request(method, url).status_code == 200, path
            assert proxy.asked(path) == n, path


def test_requests_as_slow_as_they_may_be_take_no_process_from_reads(doomed: Proxy) -> None:
    """Writes while Kafka is away, and reads of the archive: both may take longer than a read."""
    slow = [
        *[("DELETE", f"/v1/users/{number}") for number in range(4)],
        *[("PUT", f"/v1/instruments/{number}") for number in range(4)],
        ("POST", "/v1/events"),
        *[("GET", f"/v1/instruments/{number}/bars?start=0") for number in range(4)],
        ("GET", "/v1/bars?instruments=1,2&start=0"),
        ("GET", "/v1/snapshots?instruments=1,2"),
        ("GET", "/v1/pipeline"),
        ("GET", "/health/ready"),
    ]

    def ask(method: str, path: str) -> int:
        return doomed.client.request(method, path, headers={"X-Takes-S": "2.5"}).status_code

    with ThreadPoolExecutor(len(slow)) as threads:
        answers = [threads.submit(ask, method, path) for method, path in slow]
        reads = []
        while wait(answers, timeout=0.05).not_done:
            reads.append(doomed.client.get("/v1/instruments?limit=1").status_code)
    reads += [doomed.client.get("/v1/instruments?limit=1").status_code for _ in range(10)]

    assert {asked: answer.result() for asked, answer in zip(slow, answers, strict=True)} == (
        dict.fromkeys(slow, 200)
    )
    assert set(reads) == {200}
    for method, path in slow:
        assert doomed.asked(path) == sum(path == of for _, of in slow), f"{method} {path} again"


def test_without_any_process_the_answer_is_a_problem_and_when_to_try_again(doomed: Proxy) -> None:
    for api in doomed.apis:
        api.kill()
        api.wait()

    assert_problem(doomed.client.get("/v1/instruments/4/bars"), 503, "no-process")


def test_a_body_over_a_megabyte_is_a_problem_and_never_reaches_the_api(proxy: Proxy) -> None:
    answer = proxy.client.post("/v1/events?too-large", content=b"x" * (1024 * 1024 + 1))
    assert_problem(answer, 413, "too-large")
    assert proxy.asked("/v1/events?too-large") == 0
    assert proxy.client.post("/v1/events", content=b"x" * 1_000_000).status_code == 200


def test_the_rest_of_an_answer_fits_into_its_header(proxy: Proxy) -> None:
    for _ in range(10):  # headers that nginx cannot take would cost each process its place
        answer = proxy.client.get("/v1/bars", headers={"X-Rest": str(REST_BYTES)})
        assert answer.status_code == 200
        assert len(answer.headers["Tickrec-Answer"]) == REST_BYTES


@pytest.mark.parametrize(
    "path", ["/metrics", "/metrics/", "//metrics", "/%6detrics", "/v1/../metrics", "/metrics?x=1"]
)
def test_metrics_are_not_for_outside(proxy: Proxy, path: str) -> None:
    answer = proxy.client.get(proxy.client.base_url.copy_with(raw_path=path.encode()))
    assert_problem(answer, 404, "not-found")
    assert proxy.asked(path) == 0


@pytest.mark.parametrize(
    ("path", "headers", "status", "slug"),
    [
        ("/x?" + "x" * 20000, {}, 414, "uri-too-long"),
        ("/x", {"X-Long": "x" * 9000}, 400, "invalid-http"),
        ("/x", {"Host": "two words"}, 400, "invalid-http"),
    ],
)
def test_what_nginx_refuses_is_a_problem(
    proxy: Proxy, path: str, headers: dict[str, str], status: int, slug: str
) -> None:
    assert_problem(proxy.client.get(path, headers=headers), status, slug)


def test_an_address_over_its_limit_gets_a_429(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # By a limit that a slow machine reaches, too.
    strict = tmp_path / "strict.conf"
    lowered = CONFIG.read_text().replace("rate=2000r/s", "rate=1r/m")
    strict.write_text(lowered.replace("burst=4000", "burst=5"))
    monkeypatch.setattr("tests.infra.door.CONFIG", strict)
    with proxied(tmp_path) as proxy:
        answers = [proxy.client.get("/kept") for _ in range(12)]
    assert [answer.status_code for answer in answers if answer.status_code != 429]
    assert_problem(answers[-1], 429, "too-many-requests")


def test_the_log_is_json_and_holds_no_user_id_address_or_query(proxy: Proxy) -> None:
    proxy.client.get("/v1/users/Ada%2FLove/recommendations?exclude=98765")
    proxy.client.get("/instruments/similar/Ada")
    proxy.client.get("/elsewhere/Ada", headers={"Referer": "Ada", "User-Agent": "Ada"})
    proxy.client.get("/docs")

    def lines() -> list[dict[str, object]]:
        return [json.loads(line)["tickrec"] for line in proxy.output.read_text().splitlines()][-4:]

    routes = ["/v1/users/{id}/recommendations", "/instruments/similar/{id}", "other", "/docs"]
    # nginx writes a line after it has answered.
    eventually(lambda: [line["route"] for line in lines()] == routes, f"the log ends with {routes}")
    text = proxy.output.read_text()
    assert [line["status"] for line in lines()] == [200] * 4
    assert "Ada" not in text
    assert "98765" not in text


def test_an_answer_that_was_compressed_is_not_sent_again_to_who_has_it(proxy: Proxy) -> None:
    first = proxy.client.get("/kept", headers={"Accept-Encoding": "gzip"})
    again = proxy.client.get(
        "/kept", headers={"Accept-Encoding": "gzip", "If-None-Match": first.headers["ETag"]}
    )

    assert first.headers["Content-Encoding"] == "gzip"
    assert first.headers["ETag"] == f"W/{ETAG}"
    assert first.headers["Vary"] == "Accept-Encoding"
    assert again.status_code == 304
    assert again.headers["ETag"] == ETAG
    assert again.content == b""
    plain = proxy.client.get("/kept", headers={"Accept-Encoding": "identity"})
    assert plain.headers["ETag"] == ETAG


def test_a_stream_passes_by_events_outlasts_silence_and_ends_with_its_client(proxy: Proxy) -> None:
    asked, left = {"instruments": "1,2"}, proxy.asked("left")
    with ExitStack() as stack:
        streams = [
            stack.enter_context(proxy.client.stream("GET", f"/v1/stream/{what}", params=asked))
            for what in ("bars", "quotes")
        ]
        data = [(line for line in one.iter_lines() if line.startswith("data:")) for one in streams]
        for number in (1, 2):
            assert [next(lines) for lines in data] == [f"data: {number}"] * 2
        assert not any("Content-Encoding" in stream.headers for stream in streams)
        assert proxy.asked("left") == left

    eventually(lambda: proxy.asked("left") == left + 2, "the API sees that the client left")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/docs"), ("POST", "/v1/events"), ("PUT", "/x"), ("GET", "/v1/bars")],
)
def test_the_api_learns_who_asked_and_by_which_door(proxy: Proxy, method: str, path: str) -> None:
    headers = {"X-Forwarded-For": "10.9.8.7, 192.0.2.7", "X-Forwarded-Proto": "https"}
    answer = proxy.client.request(method, path, headers=headers).json()

    assert answer["headers"]["X-Forwarded-For"] == LOOPBACK, "the client chose its address"
    assert answer["headers"]["X-Forwarded-Proto"] == "http"
    assert answer["headers"]["Host"] == proxy.client.base_url.netloc.decode()


@pytest.mark.parametrize("path", ["/docs", "/busy", "/metrics"])
def test_every_answer_has_the_security_headers_and_no_version(proxy: Proxy, path: str) -> None:
    headers = proxy.client.get(path).headers

    assert headers["Server"] == "nginx"
    for name, value in SECURITY_HEADERS:
        assert headers[name.decode()] == value.decode()
    assert len(headers.get_list("X-Request-Id")) == 1


def test_only_the_stream_may_be_upgraded(proxy: Proxy) -> None:
    asking = {"Connection": "Upgrade", "Upgrade": "websocket"}
    passed_on = proxy.client.get("/v1/stream", headers=asking).json()["headers"]
    assert (passed_on["Upgrade"], passed_on["Connection"]) == ("websocket", "upgrade")
    assert "Upgrade" not in proxy.client.get("/v1/trending", headers=asking).json()["headers"]
