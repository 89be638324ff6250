"""Settings that are seen in how the programs run: where they connect and listen, what they log."""

import contextlib
import json
import time
from typing import Any, Final

import httpx
import psutil

from api.http.keys.access import OPEN_TO_ALL
from contracts.topics import ALL
from runtime.kafka import broker as brokers
from runtime.redis.stores import connect
from tests.patience import PATIENCE_S, eventually
from tests.settings.rows import Row
from tests.settings.stack import KEY_OF_FILE, Stack
from tests.settings.world import STRANGER

JSON: Final = {"Content-Type": "application/json"}
PERSONAL: Final = f"/v1/users/{STRANGER}/recommendations"
LEVELS: Final = ("debug", "info", "warning", "error", "critical")
ELSEWHERE: Final = "127.0.0.2"
"""Also this machine, for who listens at all of its addresses."""


def broker_used(stack: Stack, row: Row) -> None:
    """All that was published came back, and the API's broker answers."""
    assert stack.get("/health/ready")["kafka"] == "ok"
    port = metrics_port(stack, "workers")
    published = {"quotes": len(stack.world.quotes), "interactions": len(stack.world.events)}
    for topic, n in published.items():
        assert stack.metric(port, f'records_total{{topic="{topic}"}}') == n


def prefixed(stack: Stack, row: Row) -> None:
    """Topics and the consumer group have the prefix; nothing was published to others."""
    prefix = stack.settings("workers").kafka.prefix
    assert prefix == (row.value or "")
    there = brokers.partitions_of(brokers.admin(stack.kafka))
    assert there.keys() >= {prefix + topic.name for topic in ALL}
    broker_used(stack, row)
    namespaced(stack, row)


def store_used(stack: Stack, row: Row) -> None:
    """What is served stands in the store of the URL, and nowhere else."""
    own = stack.settings("workers").redis_url
    node, cluster = stack.servers.node_url, stack.servers.cluster_url
    for url in {own, node, node.removesuffix("/0") + "/5", cluster}:
        with connect(url, "tests") as store:
            assert bool(store.exists(stack.keyspace.model_current())) == (url == own), url
    assert stack.get("/health/ready")["redis"] == "ok"


def namespaced(stack: Stack, row: Row) -> None:
    """Keys and the consumer group have the namespace."""
    client = brokers.admin(stack.kafka)
    groups = client.list_consumer_groups().result(30)
    named = {group.group_id for group in groups.valid}
    assert stack.kafka.topic(stack.keyspace.consumer_group()) in named, (named, groups.errors)
    found = {key.split(":")[1] for key in stack.store.scan_iter(f"{stack.namespace}:*")}
    assert found >= {"bars", "history", "active", "cooc", "items", "position", "model", "meta"}


def logged(stack: Stack, row: Row) -> None:
    """Each program logs in JSON what is of its level and above, and nothing below."""
    of_program = {
        program: _levels(stack, "producers-replay-quotes-*" if program == "producers" else program)
        for program in row.programs
    }
    level = stack.settings("workers").log_level.lower()
    for program, levels in of_program.items():
        assert levels <= set(LEVELS[LEVELS.index(level) :]), program
        assert level not in ("debug", "info") or "info" in levels, f"{program} says nothing"
    # Not every program has anything to say of every level.
    assert level not in LEVELS[:2] or any(level in levels for levels in of_program.values())


def _levels(stack: Stack, name: str) -> set[str]:
    lines = [line for f in stack.folder.glob(f"{name}.log") for line in f.read_text().splitlines()]
    # Producers print a summary as well.
    return {json.loads(line)["log"]["level"] for line in lines if line.startswith("{")}


def spans_sent(stack: Stack, row: Row) -> None:
    """Each program sends spans to the receiver, and none without one."""
    for program in row.programs:
        if row.value is None:
            assert _receivers_away(stack, program) == set()
            continue
        away = {str(row.value)}
        eventually(
            lambda program=program, away=away: _receivers_away(stack, program) == away,
            f"spans of {program} to {row.value}",
        )


def _receivers_away(stack: Stack, name: str) -> set[str]:
    """Return where a program could not send its spans."""
    lines = [json.loads(line) for line in stack.log(name).splitlines() if line.startswith("{")]
    return {
        line["tickrec"]["receiver"]
        for line in lines
        if line["message"].startswith("spans are lost")
    }


def metrics_port(stack: Stack, program: Any) -> int:
    """Return where a program serves its metrics."""
    port = int(stack.settings(program).metrics_port)
    return port or _listening(stack, program)[0]


def _listening(stack: Stack, name: str) -> list[int]:
    """Return the ports that a process listens on."""
    # Its leader is `env`, which becomes the program.
    connections = psutil.Process(stack.processes[name][0].pid).net_connections("tcp")
    return [each.laddr.port for each in connections if each.status == psutil.CONN_LISTEN]


def metrics_served(stack: Stack, row: Row) -> None:
    """The metrics are where the port says; with 0 the worker's are somewhere, the trainer's not."""
    for program in row.programs:
        if program == "trainer" and row.value == "0":
            assert _listening(stack, program) == []
            continue
        if row.value is None or row.value == "0":
            assert _listening(stack, program) == [metrics_port(stack, program)]
        assert stack.metric(metrics_port(stack, program), "process_cpu_seconds_total") > 0


def metrics_host(stack: Stack, row: Row) -> None:
    """The metrics are at the addresses that the host stands for, and no others."""
    for program in row.programs:
        port = metrics_port(stack, program)
        assert stack.metric(port, "process_cpu_seconds_total") > 0
        assert _answers(f"http://{ELSEWHERE}:{port}/metrics") == (row.value == "0.0.0.0")


def api_host(stack: Stack, row: Row) -> None:
    """The API is at the addresses that the host stands for, and no others."""
    assert stack.get("/health/live") == {"status": "alive"}
    there = _answers(f"http://{ELSEWHERE}:{stack.api_port}/health/live")
    assert there == (row.value == "0.0.0.0")


def api_port(stack: Stack, row: Row) -> None:
    """The API listens on one port, which is the one that was asked for, if one was."""
    private = stack.settings("api").api_private_port
    assert set(_listening(stack, "api")) - {private} == {stack.api_port}
    assert int(stack.settings("api").api_port) in (0, stack.api_port)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.ConnectError:
        return False


def key_needed(stack: Stack, row: Row) -> None:
    """Clients with a key may write, and read users' data; without `API_KEYS` all clients may."""
    keys = [key for key in str(row.value or "").split(",") if key]

    def allowed(headers: dict[str, str]) -> bool:
        # Who may write hears that this is no JSON.
        wrote = stack.client.post("/v1/events", content=b"?", headers=headers | JSON).status_code
        read = stack.client.get(PERSONAL, headers=headers).status_code
        assert (wrote, read) in ((400, 200), (401, 401))
        return read == 200

    assert allowed({}) == (not keys)
    assert allowed({"X-API-Key": "another"}) == (not keys)
    assert all(allowed({"X-API-Key": key.strip()}) for key in keys)
    assert keys or OPEN_TO_ALL in stack.log("api")


def key_of_file_admitted(stack: Stack, row: Row) -> None:
    """A key of `API_KEYS_FILE` is good for its scopes, and for nothing without such a file."""
    headers = {"X-API-Key": KEY_OF_FILE}
    wrote = stack.client.post("/v1/events", content=b"?", headers=headers | JSON).status_code
    read = stack.client.get(PERSONAL, headers=headers).status_code
    assert (wrote, read) == ((403, 200) if row.value else (400, 200))


def quota_kept(stack: Stack, row: Row) -> None:
    """A writer may send so many events in a window; the next request is refused with the limit."""
    limit = stack.settings("api").write_limit
    keys = [key.strip() for key in str(stack.environments["api"].get("API_KEYS", "")).split(",")]
    headers = {"X-API-Key": keys[-1]} if keys[-1] else {}
    refusals = []

    def refused() -> bool:
        began, taken = time.monotonic(), 0
        # No JSON, but at the cost of 1,000 events.
        while time.monotonic() < began + limit.get_expiry():
            answer = stack.client.post("/v1/events", content=b"{" * 1000, headers=headers | JSON)
            if answer.status_code == 429:
                refusals.append((taken, answer.json()))
                return True
            assert answer.status_code == 400
            taken += 1000
        return False

    eventually(refused, "a full quota")
    taken, problem = refusals[0]
    assert (problem["limit"], problem["window_s"]) == (limit.amount, limit.get_expiry())
    # Of one window, or what two had left around the end of the first.
    assert limit.amount - 1000 <= taken + 1000 <= 2 * limit.amount + 1000


def generation_of(stack: Stack, user: str = STRANGER) -> tuple[str, str]:
    """Return variant and generation of what a user is recommended."""
    answer = stack.get(f"/v1/users/{user}/recommendations")
    return answer["variant"], answer["generation"]


def origins_allowed(stack: Stack, row: Row) -> None:
    """Pages of the origins may see answers, hot ones among them, and no others."""
    named = [origin for origin in str(row.value or "").split(",") if origin]
    for path in ("/health/live", "/v1/users/stranger/recommendations"):
        for origin in (*named, "https://another.example"):
            headers = stack.keyed | {"Origin": origin}
            answer = stack.client.get(stack.url(path), headers=headers)
            allowed = answer.headers.get("access-control-allow-origin")
            assert allowed == (origin if origin in named else None)


def names_answered(stack: Stack, row: Row) -> None:
    """Without keys it answers to the names and to localhost, on both paths, and to no others."""
    assert not stack.keyed, "with keys it answers to any"
    named = [name.strip() for name in str(row.value or "").split(",")]
    for path in ("/health/live", "/v1/users/stranger/recommendations"):
        for name in ("localhost", *filter(None, named), "other.example"):
            host = "any.example" if name == "*" else name
            answer = stack.client.get(stack.url(path), headers={"Host": f"{host}:8000"})
            refused = name == "other.example" and "*" not in named
            assert (answer.status_code == 421) == refused


def private_port(stack: Stack, row: Row) -> None:
    """Metrics, health and documentation are on the private port only, if there is one."""
    private = stack.settings("api").api_private_port
    for path in ("/metrics", "/health/live", "/docs", "/openapi.json"):
        for port in {stack.api_port, private or stack.api_port}:
            answer = httpx.get(f"http://127.0.0.1:{port}{path}")
            assert answer.status_code == (404 if private and port != private else 200)


def private_host(stack: Stack, row: Row) -> None:
    """The private port is at the addresses that the host stands for, and no others."""
    private = stack.settings("api").api_private_port
    if private:
        assert _answers(f"http://{ELSEWHERE}:{private}/health/live") == (row.value == "0.0.0.0")


def streams_bounded(stack: Stack, row: Row) -> None:
    """A client may have so many streams; who it is, a proxy says if it is trusted."""
    limit = stack.settings("api").streams_per_client
    proxies = stack.settings("api").forwarded_allow_ips
    path, another = "/v1/stream/bars?instruments=1", {"X-Forwarded-For": "192.0.2.7"}
    unlimited = httpx.Limits(max_connections=None)
    with (
        httpx.Client(
            base_url=stack.client.base_url, limits=unlimited, timeout=PATIENCE_S
        ) as client,
        contextlib.ExitStack() as opened,
    ):

        def status(headers: dict[str, str]) -> int:
            stream = client.stream("GET", path, headers=headers)
            return opened.enter_context(stream).status_code

        # Those of a check before may not have been missed yet.
        eventually(
            lambda: stack.metric(stack.api_port, "api_stream_clients ") == 0, "no open stream"
        )
        assert {status({}) for _ in range(limit)} == {200}
        assert status({}) == 429
        assert status(another) == (200 if "127.0.0.1" in proxies else 429)
