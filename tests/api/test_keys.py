"""Keys: access on both paths, the key file while it changes, and the commands that edit it."""

import dataclasses
import hashlib
import json
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import Result
from limits import parse
from prometheus_client import CollectorRegistry
from typer.testing import CliRunner

from api.__main__ import app
from api.app import create_app
from api.http.answer_headers import AnswerFields
from api.http.endpoint import Scope
from api.http.keys import file
from api.http.keys.access import Access, Key, digest_of, granted, plain_keys
from api.http.keys.file import Keys, KeysFileError, read_keys
from api.http.problems import Problem
from api.settings import ApiSettings
from tests.patience import until_true

from .asking import becomes
from .conftest import Filled, Serve
from .http import Client, connected, serving
from .keys import entry, write_keys

NOW_S = 1_800_000_000.0
READER = Key("reader", granted(("read",)))
ENDPOINT = next(each for each in create_app(ApiSettings()).state.table if not each.parameters)
"""Of which only the scope matters."""


def admitted_by(access: Access, scope: Scope, *headers: tuple[bytes, bytes]) -> str:
    """Return the name of the key that a request is admitted by."""
    endpoint = dataclasses.replace(ENDPOINT, scope=scope)
    _, key = access.admit(endpoint, {}, "", headers, AnswerFields(b""))
    assert key is not None
    return key.name


def refusal(access: Access, scope: Scope, *headers: tuple[bytes, bytes]) -> tuple[str, str]:
    with pytest.raises(Problem) as refused:
        admitted_by(access, scope, *headers)
    return refused.value.kind.slug, refused.value.detail


def sent(text: bytes) -> tuple[bytes, bytes]:
    return b"x-api-key", text


def bearer(text: bytes, kind: bytes = b"Bearer ") -> tuple[bytes, bytes]:
    return b"authorization", kind + text


OTHERS = [
    *(b"other", b"Reader", b"reade", b"readerr", b"reader ", b"reader, other", b"Bearer reader"),
    *(b"reader" * 20_000, "é".encode(), b"\xff\xfe", b" "),
]
"""Texts that are not quite those of a key."""


def access_by(*keys: Key, now_s: Callable[[], float] = lambda: NOW_S) -> Access:
    """Return access by keys whose texts are their names."""
    return Access({digest_of(key.name.encode()): key for key in keys}, now_s)


def test_no_key_of_a_file_admits_nobody() -> None:
    assert refusal(access_by(), "read:users")[0] == "unauthorized"


@pytest.mark.parametrize(
    ("header", "says"),
    [
        (sent(b""), "Send a key as"),
        (bearer(b"", kind=b""), "Send a key as"),
        (bearer(b"reader", kind=b"Basic "), "Send a key as"),
        (bearer(b"", kind=b"Bearer"), "Send a key as"),
        *((sent(text), "The key does not exist") for text in OTHERS),
        (bearer(b"other"), "The key does not exist"),
    ],
)
def test_a_refusal_says_whether_the_key_is_missing_or_unknown(
    header: tuple[bytes, bytes], says: str
) -> None:
    access = access_by(READER)
    for _ in range(2):
        slug, detail = refusal(access, "read:users", header)
        assert (slug, detail.startswith(says)) == ("unauthorized", True)
        assert admitted_by(access, "read:users", bearer(b"reader", kind=b"bearer  ")) == "reader"


@pytest.mark.parametrize("text", ["first", "schlüssel", "鍵"])
def test_a_key_may_have_any_characters_and_come_in_either_header(text: str) -> None:
    access = Access(plain_keys(frozenset(("first", "schlüssel", "鍵"))))
    for header in (sent(text.encode()), bearer(text.encode(), kind=b"bearer  ")):
        assert admitted_by(access, "write", header)
    if text == "schlüssel":
        assert refusal(access, "write", sent(text.encode("latin-1")))[0] == "unauthorized"


def test_a_key_ends_at_its_moment_though_it_was_known() -> None:
    now_s = NOW_S
    access = access_by(Key("k", granted(("read",)), expires_s=NOW_S + 5), now_s=lambda: now_s)
    assert admitted_by(access, "read:users", sent(b"k")) == "k"
    now_s += 5
    slug, detail = refusal(access, "read:users", sent(b"k"))
    assert (slug, detail) == ("unauthorized", "The key 'k' expired on 2027-01-15T08:00:05Z")


def test_what_is_remembered_of_headers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.http.keys.access._MAX_KNOWN", 100)
    access = access_by(READER)
    for n in range(300):
        admitted_by(
            access, "read:users", (b"authorization", b"bearer" + b" " * (n + 1) + b"reader")
        )
        refusal(access, "read:users", sent(b"%d" % n))
    assert 0 < len(access._known) <= 100
    assert max(len(value) for _, value in access._known) <= 256


def test_plain_keys_read_and_write_under_names_that_do_not_show_them() -> None:
    (key,) = plain_keys(frozenset(("secret",))).values()
    assert key.scopes == granted(["read", "write"])
    assert key.name == f"API_KEYS:{hashlib.sha256(b'secret').hexdigest()[:8]}"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "truncated"),
        ("{}", "Expected `array`"),
        (json.dumps([{"name": "a"}]), "missing required field `sha256`"),
        (json.dumps([entry("a", scopes=["all"])]), "'all'"),
        (json.dumps([entry("a", scopes=[])]), "length >= 1"),
        (json.dumps([entry("a b")]), "$[0].name"),
        (json.dumps([entry("a", sha256="A" * 64)]), "$[0].sha256"),
        (json.dumps([entry("a", expires="2027-01-01T00:00:00")]), "timezone"),
        (json.dumps([entry("a", limit="many")]), "'many'"),
        (json.dumps([entry("a", limit="1000/second;5/minute")]), "invalid limit"),
        (json.dumps([entry("a", limit="999/second")]), "use 1000 or more"),
        (json.dumps([entry("a", tenant="t")]), "unknown field `tenant`"),
        (json.dumps([entry("a"), entry("a")]), "two keys have the name 'a'"),
        (json.dumps([entry("a", expire="2027-01-01T00:00:00Z")]), "unknown field `expire`"),
        (None, "no such file: create it with `python -m api keys add NAME`"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_what_is_wrong(
    tmp_path: Path, text: str | None, says: str
) -> None:
    path = tmp_path / "keys.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(KeysFileError) as refused:
        read_keys(path)
    assert str(path) in str(refused.value)
    assert says in str(refused.value)


def test_a_file_without_any_key_is_not_the_same_as_no_file(tmp_path: Path) -> None:
    path = write_keys(tmp_path / "keys.json")
    assert Keys(frozenset(), path, CollectorRegistry()).by_digest == {}
    assert Keys(frozenset(), None, CollectorRegistry()).by_digest is None


class TestCommands:
    @pytest.fixture
    def path(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        path = tmp_path / "keys.json"
        monkeypatch.setenv("API_KEYS_FILE", str(path))
        return path

    def test_a_key_is_printed_once_and_only_its_hash_is_kept(self, path: Path) -> None:
        text = keys("add", "shop", "--scopes", "write, read", "--limit", "2000/minute")
        assert text.startswith("tk_")
        assert len(text) == len("tk_") + 43
        assert text not in path.read_text()
        assert read_keys(path) == {
            digest_of(text.encode()): Key("shop", granted(("read", "write")), parse("2000/minute"))
        }

    def test_only_its_owner_can_read_the_file(self, path: Path) -> None:
        keys("add", "one", "--scopes", "read")
        path.chmod(0o644)
        keys("add", "two", "--scopes", "read")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert [each.name for each in path.parent.iterdir()] == ["keys.json"]

    def test_the_list_is_a_table_without_hashes(self, path: Path) -> None:
        keys("add", "shop", "--scopes", "write,read:users", "--expires", "2999-01-01")
        keys("add", "operator", "--scopes", "read,admin", "--limit", "5/second")
        created = [each["created"] for each in json.loads(path.read_text())]
        assert keys("list").splitlines() == [
            "name      scopes            limit     expires               created",
            f"shop      read:users,write  -         2999-01-01T00:00:00Z  {created[0]}",
            f"operator  read,admin        5/second  never                 {created[1]}",
        ]

    def test_the_first_key_has_all_scopes_and_is_made_once(self, path: Path) -> None:
        text = keys("first")
        assert read_keys(path) == {
            digest_of(text.encode()): Key("admin", granted(("read", "write", "admin")))
        }
        before = path.read_bytes()
        again = run("first")
        assert (again.exit_code, again.stdout) == (0, "")
        assert "the key 'admin' has the scope admin" in again.stderr
        assert path.read_bytes() == before

    def test_an_expired_key_stands_in_the_way_of_no_other(self, path: Path) -> None:
        scopes, ended = {"scopes": ["admin"]}, "2021-08-15T21:00:00Z"
        entries = [
            entry("admin", expires=ended, **scopes),
            entry("old", limit="1/second", expires=ended, scopes=["read"]),
        ]
        write_keys(path, *entries)
        text = keys("first")
        keys("add", "new", "--scopes", "read", "--limit", "5/second")
        found = read_keys(path)
        assert found[digest_of(text.encode())].expires_s is None
        assert [key.name for key in found.values()] == ["old", "admin", "new"]

    def test_a_key_that_is_removed_is_gone_and_the_others_stay(self, path: Path) -> None:
        for name in ("one", "two"):
            keys("add", name, "--scopes", "read")
        keys("remove", "one")
        assert [key.name for key in read_keys(path).values()] == ["two"]

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (("add", "one", "--scopes", "read"), "'one' already"),
            (("add", "two", "--scopes", "read,all"), "'read,all' are not among read, read:users"),
            (("add", "two", "--scopes", "write", "--limit", "9/second"), "'9/second' is below"),
            (("add", "two", "--scopes", "read", "--limit", "lots"), "invalid limit 'lots'"),
            (("add", "two", "--scopes", "read", "--expires", "soon"), "'soon' is not a time"),
            (("add", "two", "--scopes", "read", "--expires", "2020-01-01"), "is in the past"),
            (("add", "t w o", "--scopes", "read"), "$.name"),
            (("remove", "two"), "no key 'two'"),
        ],
    )
    def test_what_breaks_a_rule_changes_nothing(
        self, path: Path, arguments: tuple[str, ...], says: str
    ) -> None:
        keys("add", "one", "--scopes", "read")
        before = path.read_bytes()
        refused = run(*arguments)
        assert refused.exit_code == 2
        assert says in " ".join(refused.stderr.split())
        assert path.read_bytes() == before
        assert [each.name for each in path.parent.iterdir()] == ["keys.json"]

    def test_a_file_that_cannot_be_read_is_not_written_over(self, path: Path) -> None:
        path.write_text("[{")
        refused = run("add", "one", "--scopes", "read")
        assert refused.exit_code == 2
        assert path.read_text() == "[{"

    def test_without_a_file_it_is_asked_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("API_KEYS_FILE", raising=False)
        refused = run("list")
        assert refused.exit_code == 2
        assert "API_KEYS_FILE is not set" in refused.stderr


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["keys", *arguments])


def keys(*arguments: str) -> str:
    """Return what `python -m api keys` prints."""
    done = run(*arguments)
    assert done.exit_code == 0, done.output
    return done.stdout.strip()


PERSONAL = "/v1/users/ABC/recommendations"
BATCH = "/v1/recommendations/batch"


@pytest.fixture
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
async def connection(where: dict[str, Any], model: None, path: Path) -> AsyncIterator[Client]:
    """To a server with these keys, and `plain` of the environment."""
    async with (
        serving(**where, api_keys="plain", api_keys_file=path) as (_, port),
        connected(port) as client,
    ):
        yield client


@pytest.fixture
async def client(serve: Serve, model: None, path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with serve(api_keys="plain", api_keys_file=path) as client:
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


@pytest.mark.parametrize("broken", ["[{", None])
async def test_keys_come_and_go_while_it_serves_but_not_with_a_broken_file_which_is_reported(
    connection: Client,
    path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    broken: str | None,
) -> None:
    monkeypatch.setattr(file, "LOOK_EVERY_S", 0.01)
    assert await statuses(connection) == {"reader": 200, "new": 401, "plain": 200, None: 401}
    await until_metric(connection, 0)
    break_file(path, broken)
    await until_metric(connection, 1)
    assert (await statuses(connection))["reader"] == 200
    assert f"API_KEYS_FILE {path}" in caplog.text
    assert [r.levelname for r in caplog.records if str(path) in r.getMessage()] == ["ERROR"]
    write_keys(path, entry("new"))
    await until_metric(connection, 0)
    assert await statuses(connection) == {"reader": 401, "new": 200, "plain": 200, None: 401}
    write_keys(path)  # without its last key, it opens nothing
    closed = {"reader": 401, "new": 401, "plain": 200, None: 401}
    await becomes(closed, statuses, connection)


def break_file(path: Path, text: str | None) -> None:
    """Write an invalid key file, or remove the file."""
    if text is None:
        path.unlink()
    else:
        path.write_text(text)


async def statuses(client: Client) -> dict[str | None, int]:
    """Return how a request is answered, by its key."""
    return {key: await status(client, key) for key in ("reader", "new", "plain", None)}


async def status(client: Client, key: str | None) -> int:
    headers = f"X-API-Key: {key}\r\n".encode() if key else b""
    return int((await client.get(PERSONAL, headers=headers)).split(b" ", 2)[1])


@until_true
async def until_metric(client: Client, broken: int) -> None:
    assert b"\napi_keys_file_broken %d.0\n" % broken in await client.get("/metrics")
