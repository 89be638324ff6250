"""Keys where they are needed: on both paths, while their file changes, and in the description."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.http.keys import file
from tests.patience import until_true

from .conftest import Filled, Serve
from .http import Client, connected, serving
from .keys import entry, write_keys

PERSONAL = "/v1/users/ABC/recommendations"
BATCH = "/v1/recommendations/batch"


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
        entry("slow", scopes=["read"], limit="2/hour"),
        entry("hourly", scopes=["read"], limit="50/hour"),
        entry("full", limit="1000/hour"),
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


async def test_a_request_takes_of_its_quota_what_it_costs(
    client: httpx.AsyncClient, path: Path
) -> None:
    async def left_after(users: int) -> str:
        body = {"user_ids": [f"u{n}" for n in range(users)]}
        answer = await client.post(
            "/v1/recommendations/batch", json=body, headers={"X-API-Key": "hourly"}
        )
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
    return int((await client.get(PERSONAL, headers=headers)).split(b" ", 2)[1])


@until_true
async def until(client: Client, key: str, expected: int) -> None:
    assert await status(client, key) == expected


@until_true
async def until_metric(client: Client, broken: int) -> None:
    assert b"\napi_keys_file_broken %d.0\n" % broken in await client.get("/metrics")
