"""What programs say that Redis does not let in, or does not let do their work, or may evict."""

import contextlib
import re
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Final

import httpx
import pytest
import redis

from contracts.messages import Interaction, Quote
from runtime.redis.refusals import StoreRefusesError, warnings_of
from runtime.redis.stores import UNAVAILABLE, connect
from tests.api.http import serving
from tests.patience import eventually, until, until_true
from tests.runtime.redis.conftest import NAMESPACE, Programs
from tests.runtime.redis.guarded import Guarded, rules

STARTED: Final = {
    "topics": ("operations.topics",),
    "worker": ("stream_processors",),
    "trainer": ("trainer", "once"),
}
"""How programs are started that end by themselves; the API answers 503 and goes on."""


@contextlib.contextmanager
def without(store: redis.Redis, user: str, right: str) -> Iterator[None]:
    """Take a right from a user for the block."""
    rule = rules()[user].split()
    assert right in rule
    less = [part for part in rule if part != right]
    store.execute_command("ACL SETUSER", user, "reset", *less)
    try:
        yield
    finally:
        store.execute_command("ACL SETUSER", user, "reset", *rule)


@contextlib.contextmanager
def configured(store: redis.Redis, name: str, value: str) -> Iterator[None]:
    before = store.config_get(name)[name]
    store.config_set(name, value)
    try:
        yield
    finally:
        store.config_set(name, before)


async def said_by(
    programs: Programs, program: str, url: str, caplog: pytest.LogCaptureFixture
) -> str:
    """Return what a program says that cannot go on; the API says it when it is asked."""
    if program != "api":
        return programs.refused(*STARTED[program], url=url)
    async with api(url) as address, httpx.AsyncClient(base_url=address) as client:
        answer = await client.get("/v1/instruments/4/bars")
        assert answer.status_code == 503, answer.text
    return caplog.text


@contextlib.asynccontextmanager
async def api(url: str) -> AsyncIterator[str]:
    """Run the API in this process, where it starts sooner; yield its address."""
    async with serving(redis_url=url, namespace=NAMESPACE, api_hosts="*") as (_, port):
        yield f"http://127.0.0.1:{port}"


async def test_a_wrong_password_or_authority_names_the_setting_to_change(
    store: Guarded, caplog: pytest.LogCaptureFixture
) -> None:
    """The API connects by code of its own, all others by the same."""
    password, authority = "hunter2", {"ssl_ca_certs": store.other_ca}
    with pytest.raises(StoreRefusesError) as untrusted:
        connect(store.url("topics", **authority), "tests")
    with pytest.raises(StoreRefusesError) as refused:
        connect(store.url("topics", password), "tests")
    said = {}
    for name, url in (("ca", store.url("api", **authority)), ("login", store.url("api", password))):
        caplog.clear()
        async with api(url) as address, httpx.AsyncClient(base_url=address) as client:
            assert (await client.get("/v1/instruments/4/bars")).status_code == 503
        said[name] = caplog.text
    for text in (str(untrusted.value), said["ca"]):
        assert "certificate verify failed" in text
        assert "ssl_ca_certs names the authority" in text
        assert "-password" not in text
    for user, text in (("topics", str(refused.value)), ("api", said["login"])):
        assert f"rejects the user '{user}'" in text
        assert "Set name and password in REDIS_URL" in text
        assert password not in text
        assert "Traceback" not in text


def test_a_store_that_accepts_connections_but_never_answers_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        where = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(UNAVAILABLE, match=f"no Redis at {where}, which REDIS_URL names"):
            connect(f"redis://{where}", "tests", timeout_s=0.05)


RIGHTS: Final = [
    ("topics", "+hset", r"HSET live:meta:topics"),
    ("topics", "~live:meta:topics", r"HGETALL live:meta:topics"),
    ("worker", "+hgetall", r"HGETALL live:meta:topics"),
    ("worker", "+zadd", r"EVALSHA live:position:\{[iq]\d\}, live:(active|open):\{[iq]\d\}, live:"),
    ("worker", "~live:[^m]*:{*", r"\w+ live:position:\{\w\d\}"),
    ("trainer", "+incrby", r"EVAL live:model:fence"),
    ("trainer", "+echo", r"ECHO"),
    ("trainer", "%R~live:cooc:*", r"\w+ live:cooc:\{c\d\}:\d"),
    ("api", "+hmget", r"HMGET live:\w+:\{\w\d\}"),
    ("api", "%R~live:*", r"HGETALL live:meta:topics"),
    ("api", "+info", r"do it: .*'info'"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("user", "right", "what"), RIGHTS)
async def test_a_missing_right_is_reported_with_user_command_and_remedy(
    *,
    programs: Programs,
    store: Guarded,
    user: str,
    right: str,
    what: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    if user == "worker":
        programs.publish([Quote(instrument_id=4, price=1, size=1, ts=1_700_000_000_000)])
        programs.publish([Interaction(user_id="A", instrument_id=4, ts=1_700_000_000_000)])
    if user == "trainer":
        for item, row in ((1, {"1": 1}), (2, {"1": 1, "2": 1})):
            programs.store.sadd(programs.keyspace.items(0), item)
            programs.store.hset(programs.keyspace.cooc(0, item), mapping=row | {"off": "[0,0]"})
    with without(programs.store, user, right):
        said = await said_by(programs, user, store.url(user), caplog)
    assert re.search(rf"user '{user}' of Redis may not {what}", said), said
    assert "docs/redis.md the rules of each program's user for ACL SETUSER" in said


async def test_live_bars_name_the_user_that_may_not_subscribe(
    programs: Programs, store: Guarded, caplog: pytest.LogCaptureFixture
) -> None:
    refusal = "user 'api' of Redis may not SSUBSCRIBE live:bars-changed:{q"
    with without(programs.store, "api", "+ssubscribe"):
        async with api(store.url("api")) as address:
            url = httpx.URL(address)
            # The API tries until its client leaves, so nothing is answered here.
            with socket.create_connection((url.host, url.port or 80)) as client:
                client.sendall(b"GET /v1/stream/bars?instruments=4 HTTP/1.1\r\nHost: x\r\n\r\n")
                await until(lambda: refusal in caplog.text, "it says so")


@pytest.mark.parametrize("program", STARTED)
def test_on_a_store_that_may_evict_nothing_starts(
    programs: Programs, store: Guarded, program: str
) -> None:
    with configured(programs.store, "maxmemory-policy", "volatile-lru"):
        said = programs.refused(*STARTED[program], url=store.url(program))
    assert "maxmemory-policy volatile-lru" in said
    assert "set it to noeviction" in said
    assert "Traceback" not in said


async def test_the_api_answers_on_a_store_that_may_evict_and_says_so(
    programs: Programs, store: Guarded, caplog: pytest.LogCaptureFixture
) -> None:
    with configured(programs.store, "maxmemory-policy", "allkeys-lru"):
        async with api(store.url("api")) as address, httpx.AsyncClient(base_url=address) as client:

            @until_true
            async def answered() -> None:  # a busy machine may be late
                assert (await client.get("/v1/instruments/4/bars")).status_code == 404

            await answered()
            await until(lambda: "set it to noeviction" in caplog.text, "it says so")


@pytest.mark.slow
def test_a_store_without_an_append_only_file_is_warned_of(programs: Programs) -> None:
    with configured(programs.store, "appendonly", "no"):
        programs.note_topics()
        assert "no append-only file" in programs.said("operations.topics")
        with programs.working():
            eventually(lambda: "no append-only file" in programs.said("worker"), "so says a worker")


KEPT = {"maxmemory_policy": "noeviction", "aof_enabled": 1}


def test_a_store_that_keeps_all_data_gets_no_warning() -> None:
    assert warnings_of(KEPT) == []
    assert warnings_of({"one:1": KEPT, "two:2": KEPT}) == []


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
def test_one_node_that_may_evict_is_enough_to_refuse_a_store(policy: str) -> None:
    evicting = {**KEPT, "maxmemory_policy": policy}
    for info in (evicting, {"one:1": KEPT, "two:2": evicting}):
        with pytest.raises(StoreRefusesError, match=f"{policy}.*set it to noeviction"):
            warnings_of(info)


def test_what_a_managed_store_does_not_report_is_warned_of_once() -> None:
    (warning,) = warnings_of({"one:1": {"aof_enabled": 1}, "two:2": {"aof_enabled": 1}})
    assert "maxmemory-policy: set it to noeviction" in warning


def test_a_store_without_persistence_gets_a_warning() -> None:
    (warning,) = warnings_of({**KEPT, "aof_enabled": "0"})
    assert "Set appendonly to yes" in warning
