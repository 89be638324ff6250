"""Keys where they are needed: on both paths, while their file changes, and in the description."""

import functools
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.app import create_app
from api.http.endpoint import Endpoint
from api.http.keys import file
from api.settings import ApiSettings
from tests.cases import each
from tests.patience import until_true

from .conftest import Filled, Serve
from .http import ORDINARY, Client, connected, serving
from .keys import entry, write_keys
from .problems import problem, slug

TABLE = create_app(ApiSettings()).state.table
PERSONAL = [
    "/v1/users/ABC/recommendations",
    "/v1/users/ABC/recommendations?n=0",
    "/instruments/similar/ABC",
    "/v1/users/ABC/history",
]
BATCH = "/v1/recommendations/batch"
OPEN = ["/instruments/4", "/instruments/similar/4", "/v1/instruments/4/bars", "/health/live"]


@pytest.fixture(autouse=True)
def model(filled: Filled) -> None:
    filled.generation("g1", {"4": [("5", 0.5, 2)]}, popular=[("7", 3)])
    filled.history("ABC", {"4": (1, 5)}, off=7)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A key file with one key for each case."""
    return write_keys(
        tmp_path / "keys.json",
        entry("reader", scopes=["read"]),
        entry("writer", scopes=["write"]),
        entry("slow", scopes=["read"], limit="2/hour"),
        entry("hourly", scopes=["read"], limit="50/hour"),
        entry("full", limit="1000/hour"),
        entry("late", expires="2021-01-01T00:00:00Z"),
        entry("early", expires="2999-01-01T00:00:00Z"),
    )


@pytest.fixture
async def port(where: dict[str, Any], path: Path) -> AsyncIterator[int]:
    """Of a server with these keys, and `plain` of the environment."""
    async with serving(**where, api_keys="plain", api_keys_file=path) as (_, port):
        yield port


@pytest.fixture
async def client(serve: Serve, path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with serve(api_keys="plain", api_keys_file=path) as client:
        yield client


@pytest.fixture
async def connection(port: int) -> AsyncIterator[Client]:
    async with connected(port) as client:
        yield client


GIVEN = [
    (b"", b"401"),
    (b"X-API-Key: other\r\n", b"401"),
    (b"X-API-Key: late\r\n", b"401"),
    (b"X-API-Key: writer\r\n", b"403"),
    (b"X-API-Key: reader\r\n", b"200"),
    (b"X-API-Key: early\r\n", b"200"),
    (b"X-API-Key: plain\r\n", b"200"),
    (b"Authorization: Bearer reader\r\n", b"200"),
    (b"Authorization: bearer   reader\r\n", b"200"),
    (b"Authorization: Basic reader\r\n", b"401"),
    (b"X-API-Key: other\r\nAuthorization: Bearer reader\r\n", b"401"),
]


@each(("headers", "status"), GIVEN)
async def test_both_paths_admit_alike(connection: Client, headers: bytes, status: bytes) -> None:
    for target in PERSONAL * 2:  # the second time the key is known
        fast = await connection.get(target, headers=headers)
        assert await connection.get(target, headers=headers + ORDINARY) == fast
        admitted = b"422" if status == b"200" and target.endswith("n=0") else status
        assert fast.split(b" ", 2)[1] == admitted, target


@each("headers", [{}, {"X-API-Key": "other"}, {"X-API-Key": "late"}])
async def test_what_concerns_no_person_is_open_to_all(
    client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    for target in OPEN:
        assert (await client.get(target, headers=headers)).status_code not in (401, 403), target


async def test_a_refusal_says_what_is_wrong_with_the_key(client: httpx.AsyncClient) -> None:
    history = "/v1/users/ABC/history"
    answer = await client.get(history, headers={"X-API-Key": "late"})
    assert answer.json()["detail"] == "The key 'late' expired on 2021-01-01T00:00:00Z"
    assert answer.headers["www-authenticate"] == "Bearer"
    answer = await client.get(history, headers={"X-API-Key": "writer"})
    assert problem(answer) == (403, "forbidden")
    assert answer.json()["detail"] == "The key does not have the scope `read:users`"
    answer = await client.post("/v1/events", content=b"{", headers={"X-API-Key": "reader"})
    assert answer.json()["detail"] == "The key does not have the scope `write`"


@pytest.mark.parametrize("way", [b"", ORDINARY])
async def test_a_key_with_a_limit_reads_no_more_than_that(connection: Client, way: bytes) -> None:
    headers = b"X-API-Key: slow\r\n" + way
    answers = [await connection.get(PERSONAL[0], headers=headers) for _ in range(3)]
    assert [answer.split(b" ", 2)[1] for answer in answers] == [b"200", b"200", b"429"]
    assert b"retry-after: 3" in answers[2]
    assert b"At most 2 requests in 3600 s" in answers[2]
    open_to_all = await connection.get("/instruments/similar/4", headers=headers)
    assert open_to_all.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("way", [b"", ORDINARY])
async def test_an_answer_says_what_is_left_of_its_quota(connection: Client, way: bytes) -> None:
    headers = b"X-API-Key: slow\r\n" + way
    # The second one is invalid, the last one over the limit.
    for path, left in zip((*PERSONAL[:2], PERSONAL[0]), (b"1", b"0", b"0"), strict=True):
        answer = await connection.get(path, headers=headers)
        assert answer.count(b'\r\nratelimit-policy: "requests";q=2;w=3600\r\n') == 1
        (found,) = re.findall(rb'\r\nratelimit: "requests";r=(\d+);t=\d+\r\n', answer)
        assert found == left
    unlimited = await connection.get(PERSONAL[0], headers=b"X-API-Key: reader\r\n" + way)
    assert b"ratelimit" not in unlimited


async def test_a_request_takes_of_its_quota_what_it_costs(
    client: httpx.AsyncClient, path: Path
) -> None:
    async def left_after(users: int) -> str:
        body = {"user_ids": [f"u{n}" for n in range(users)]}
        answer = await client.post(BATCH, json=body, headers={"X-API-Key": "hourly"})
        assert answer.headers.get_list("ratelimit-policy") == ['"requests";q=50;w=3600']
        return f"{answer.status_code} {answer.headers['ratelimit'].partition(';t=')[0]}"

    assert await left_after(40) == '200 "requests";r=10'
    assert await left_after(11) == '429 "requests";r=9'
    # What costs more than a whole quota takes all of it.
    body = {"user_ids": ["a", "b", "c"]}
    most = await client.post(BATCH, json=body, headers={"X-API-Key": "slow"})
    assert (most.status_code, most.headers["ratelimit"][:14]) == (200, '"requests";r=0')
    full = await client.post("/v1/events", json=[], headers={"X-API-Key": "full"})
    assert full.headers["ratelimit"].startswith('"events";r=999;t=')


async def test_a_key_with_a_limit_writes_no_more_events_than_that(
    client: httpx.AsyncClient,
) -> None:
    full = json.dumps([{}] * 1000).encode()

    async def written_with(key: str) -> str:
        headers = {"X-API-Key": key}
        return slug(await client.post("/v1/events", content=full, headers=headers))

    assert await written_with("full") == "invalid-events"
    assert await written_with("full") == "rate-limited"
    for _ in range(5):
        assert await written_with("writer") == "invalid-events"


class TestRotation:
    @pytest.fixture(autouse=True)
    def often(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(file, "LOOK_EVERY_S", 0.01)

    async def test_keys_come_and_go_while_it_serves(self, connection: Client, path: Path) -> None:
        assert await status(connection, "reader") == 200
        assert await status(connection, "new") == 401
        write_keys(path, entry("new"))
        await until(connection, "new", 200)
        assert await status(connection, "reader") == 401
        assert await status(connection, "plain") == 200

    async def test_taking_out_the_last_key_opens_nothing(
        self, connection: Client, path: Path
    ) -> None:
        write_keys(path)
        await until(connection, "reader", 401)
        assert await status(connection, None) == 401

    @pytest.mark.parametrize("text", ["[{", None])
    async def test_a_broken_file_leaves_the_keys_unchanged_and_is_reported(
        self,
        connection: Client,
        path: Path,
        caplog: pytest.LogCaptureFixture,
        text: str | None,
    ) -> None:
        assert b"\napi_keys_file_broken 0.0\n" in await connection.get("/metrics")
        break_file(path, text)
        await until_metric(connection, 1)
        assert await status(connection, "reader") == 200
        assert f"API_KEYS_FILE {path}" in caplog.text
        assert [r.levelname for r in caplog.records if str(path) in r.getMessage()] == ["ERROR"]
        write_keys(path, entry("new"))
        await until_metric(connection, 0)
        assert await status(connection, "new") == 200
        assert await status(connection, "reader") == 401


def break_file(path: Path, text: str | None) -> None:
    """Write an invalid key file, or remove the file."""
    if text is None:
        path.unlink()
    else:
        path.write_text(text)


async def status(client: Client, key: str | None) -> int:
    headers = f"X-API-Key: {key}\r\n".encode() if key else b""
    return int((await client.get(PERSONAL[0], headers=headers)).split(b" ", 2)[1])


@until_true
async def until(client: Client, key: str, expected: int) -> None:
    assert await status(client, key) == expected


@until_true
async def until_metric(client: Client, broken: int) -> None:
    assert b"\napi_keys_file_broken %d.0\n" % broken in await client.get("/metrics")


def test_empty_settings_have_no_keys() -> None:
    settings = ApiSettings(api_keys="", api_keys_file="")  # type: ignore[arg-type]
    assert (settings.api_keys, settings.api_keys_file) == (frozenset(), None)


@functools.cache
def operations(**settings: Any) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the description of all operations."""
    paths = create_app(ApiSettings(**settings)).openapi()["paths"]
    return {(m.upper(), path): o for path, of in paths.items() for m, o in of.items()}


@pytest.mark.parametrize("endpoint", TABLE, ids=str)
def test_each_operation_is_described_with_the_scope_that_it_needs(endpoint: Endpoint) -> None:
    which = (endpoint.method, endpoint.path)
    keyed, open_to_all = operations(api_keys="k")[which], operations()[which]
    if endpoint.scope is None:
        assert "security" not in keyed
        assert "401" not in keyed["responses"]
        # A page may be refused for its origin.
        assert "forbidden" not in str(keyed["responses"].get("403"))
        return
    scope = endpoint.scope
    needed = [{"key": [scope]}, {"bearer": [scope]}]
    assert keyed["security"] == ([*needed, {}] if endpoint.needs_scope else needed)
    assert open_to_all["security"] == [*needed, {}]
    assert f"a key with the scope `{scope}`" in keyed["description"]
    assert {"401", "403"} <= keyed["responses"].keys()


OF_NOBODY = "/v1/recommendations"
"""For a list of items, without a user."""


@pytest.mark.parametrize("endpoint", TABLE, ids=str)
def test_what_names_a_user_or_changes_anything_needs_a_scope(endpoint: Endpoint) -> None:
    if ("user" in endpoint.path or endpoint.method != "GET") and endpoint.path != OF_NOBODY:
        assert endpoint.scope is not None
    if endpoint.method in ("PUT", "DELETE"):
        assert endpoint.scope == "admin"
