"""infra/nginx/nginx.conf in the real nginx, before two processes that stand in for the API."""

import getpass
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from string import Template

import httpx
import pytest
import yaml

from infra.local.process import LOOPBACK, Command, Server, free_port, running

NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "infra/nginx/nginx.conf"
COMPOSE = ROOT / "docker-compose.yml"
UPSTREAM = Path(__file__).with_name("upstream.py")

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")


@dataclass
class Proxy:
    client: httpx.Client
    apis: list[subprocess.Popen[bytes]]
    api_urls: list[str]
    output: Path

    def asked(self, path: str) -> int:
        """Return how often the API processes were asked for a path."""
        counts = [httpx.get(f"{url}/counts").json()["asked"] for url in self.api_urls]
        return sum(count.get(path, 0) for count in counts)


def answers(url: str) -> bool:
    try:
        return httpx.get(url).is_success
    except httpx.TransportError:
        return False


def serve(name: str, port: int, argv: list[str], folder: Path, ready_path: str) -> Server:
    url = f"http://{LOOPBACK}:{port}"
    command = Command(name=name, argv=tuple(argv), log=folder / f"{name}.log", grace_s=1)
    return Server(command, url, name, lambda: answers(url + ready_path))


def nginx(folder: Path, listen: int, api_ports: list[int]) -> list[str]:
    """Fill the template in as the image's envsubst does, and return the command that runs it.

    The upstream's servers are those of the compose file, but for their address.
    """
    environment = yaml.safe_load(COMPOSE.read_text())["services"]["nginx"]["environment"]
    server = environment["NGINX_API_SERVERS"]
    servers = [server.replace("api:8000 resolve", f"{LOOPBACK}:{port}") for port in api_ports]
    config = folder / "nginx.conf"
    config.write_text(
        Template(CONFIG.read_text()).safe_substitute(
            NGINX_LISTEN=f"{LOOPBACK}:{listen}", NGINX_API_SERVERS=" ".join(servers)
        )
    )
    # Root's workers become another user, who may not enter pytest's folders.
    user = f" user {getpass.getuser()};" if os.geteuid() == 0 else ""
    asked = ["-e", "stderr", "-p", str(folder), "-c", str(config), "-g", f"daemon off;{user}"]
    return [str(NGINX), *asked]


@contextmanager
def proxied(folder: Path) -> Iterator[Proxy]:
    with ExitStack() as stack:
        ports = [free_port(), free_port()]
        upstreams = [
            serve(f"api-{port}", port, [sys.executable, str(UPSTREAM), str(port)], folder, "/")
            for port in ports
        ]
        apis = [stack.enter_context(running(upstream)) for upstream in upstreams]
        port = free_port()
        door = serve("nginx", port, nginx(folder, port, ports), folder, "/ready")
        stack.enter_context(running(door))
        client = stack.enter_context(httpx.Client(base_url=door.address))
        yield Proxy(client, apis, [upstream.address for upstream in upstreams], door.command.log)


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


def test_nginx_accepts_the_file(tmp_path: Path) -> None:
    command = nginx(tmp_path, 8000, [8001, 8002])

    check = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)

    assert check.returncode == 0, check.stderr
    assert "warn" not in check.stderr


def test_a_process_killed_under_load_fails_no_read(doomed: Proxy) -> None:
    statuses = []
    for number in range(300):
        if number == 100:
            doomed.apis[0].kill()
        statuses.append(doomed.client.get("/v1/instruments/4/bars").status_code)

    assert statuses == [200] * 300


def test_a_process_that_hangs_costs_a_read_two_seconds_but_not_its_answer(doomed: Proxy) -> None:
    doomed.apis[0].send_signal(signal.SIGSTOP)

    answers = [doomed.client.get("/v1/instruments/4/bars") for _ in range(4)]

    assert [answer.status_code for answer in answers] == [200] * 4
    assert max(answer.elapsed.total_seconds() for answer in answers) < 5


def test_a_503_of_the_api_reaches_the_client_with_its_retry_after(proxy: Proxy) -> None:
    answer = proxy.client.get("/busy/once")

    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "7"
    assert proxy.asked("/busy/once") == 1, "asked another process, too"


def test_a_read_without_an_answer_is_asked_of_the_other_process(doomed: Proxy) -> None:
    assert doomed.client.get("/dropped/read").status_code == 503
    assert doomed.asked("/dropped/read") == 2


def test_a_write_without_an_answer_is_never_sent_twice(doomed: Proxy) -> None:
    answer = doomed.client.post("/dropped/write", json={"user_id": "ABC"})

    assert answer.status_code == 503
    assert doomed.asked("/dropped/write") == 1


def test_without_any_process_the_answer_is_a_problem_and_when_to_try_again(doomed: Proxy) -> None:
    for api in doomed.apis:
        api.kill()
        api.wait()

    answer = doomed.client.get("/v1/instruments/4/bars")

    assert answer.status_code == 503
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Retry-After"] == "1"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.json()["status"] == 503


def test_a_path_that_fails_everywhere_does_not_take_the_others_along(doomed: Proxy) -> None:
    assert doomed.client.get("/dropped/read").status_code == 503
    assert doomed.client.get("/v1/instruments/4/bars").status_code == 200


def test_a_body_over_a_megabyte_is_a_problem_and_never_reaches_the_api(proxy: Proxy) -> None:
    answer = proxy.client.post("/v1/events?too-large", content=b"x" * (1024 * 1024 + 1))

    assert answer.status_code == 413
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["status"] == 413
    assert proxy.asked("/v1/events?too-large") == 0


def test_a_body_of_nearly_a_megabyte_passes(proxy: Proxy) -> None:
    assert proxy.client.post("/v1/events", content=b"x" * 1_000_000).status_code == 200


@pytest.mark.parametrize(
    "path", ["/metrics", "/metrics/", "//metrics", "/%6detrics", "/v1/../metrics", "/metrics?x=1"]
)
def test_metrics_are_not_for_outside(proxy: Proxy, path: str) -> None:
    answer = proxy.client.get(proxy.client.base_url.copy_with(raw_path=path.encode()))

    assert answer.status_code == 404
    assert proxy.asked(path) == 0


def test_the_log_is_json_and_holds_no_user_id_address_or_query(proxy: Proxy) -> None:
    proxy.client.get("/v1/users/Ada%2FLove/recommendations?exclude=98765")
    proxy.client.get("/instruments/similar/Ada")
    proxy.client.get("/elsewhere/Ada", headers={"Referer": "Ada", "User-Agent": "Ada"})
    proxy.client.get("/docs")

    text = proxy.output.read_text()
    lines = [json.loads(line) for line in text.splitlines()][-4:]

    assert [line["route"] for line in lines] == [
        "/v1/users/{id}/recommendations",
        "/instruments/similar/{id}",
        "other",
        "/docs",
    ]
    assert [line["status"] for line in lines] == [200] * 4
    assert "Ada" not in text
    assert "98765" not in text


def test_long_answers_are_compressed(proxy: Proxy) -> None:
    answer = proxy.client.get("/docs", headers={"Accept-Encoding": "gzip"})

    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.num_bytes_downloaded < len(answer.content) / 4


def test_the_api_learns_who_asked_and_through_which_door(proxy: Proxy) -> None:
    answer = proxy.client.get("/docs", headers={"X-Forwarded-For": "192.0.2.7"}).json()

    assert answer["headers"]["X-Forwarded-For"] == f"192.0.2.7, {LOOPBACK}"
    assert answer["headers"]["X-Forwarded-Proto"] == "http"
    assert answer["headers"]["Host"] == proxy.client.base_url.netloc.decode()


@pytest.mark.parametrize("path", ["/docs", "/busy", "/metrics"])
def test_every_answer_has_the_security_headers_and_no_version(proxy: Proxy, path: str) -> None:
    headers = proxy.client.get(path).headers

    assert headers["Server"] == "nginx"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Content-Security-Policy"] == "frame-ancestors 'none'"


def test_the_image_fills_in_every_variable_of_the_template_and_nothing_else() -> None:
    class Ours(Template):
        pattern = r"(?P<escaped>(?!))|\$\{(?P<braced>[A-Z_]+)\}|(?P<named>(?!))|(?P<invalid>(?!))"

    names = set(Ours(CONFIG.read_text()).get_identifiers())

    assert names == {"NGINX_LISTEN", "NGINX_API_SERVERS"}
