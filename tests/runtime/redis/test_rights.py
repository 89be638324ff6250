"""Programs and clients with the documented rights only, on one encrypted node and in a cluster."""

import re
import time
from collections.abc import Callable, Iterator

import httpx
import pytest
import redis
from redis.asyncio import RedisCluster
from redis.exceptions import NoPermissionError

from api.http.metrics import Metrics
from api.live.reading import Channels
from api.redis.reading import Read
from api.redis.store import Store
from infra.local.asking import ask, connect_api, find_subjects
from infra.local.requests import Subjects, requests
from operations.counts.neighbors import neighbors
from runtime.redis.refusals import StoreRefusesError
from runtime.redis.stores import check_kept, check_kept_async, connect, connect_async
from tests.integration.watched import watched
from tests.patience import eventually
from tests.runtime.redis.conftest import NAMESPACE, Programs
from tests.runtime.redis.guarded import DOCUMENT, Guarded, rules
from trainer.run.lock import held

pytestmark = pytest.mark.slow


def test_every_program_works_with_the_documented_rights_and_needs_each(
    programs: Programs, store: Guarded
) -> None:
    programs.store.flushall()
    programs.store.config_resetstat()
    programs.note_topics()
    with (
        watched(programs, redis_url=store.url("worker")) as worker,
        programs.simulating(),
        programs.api(redis_url=store.url("api")) as address,
    ):
        assert worker.ready()["store"] == "ok"
        users = programs.keyspace.active(0)
        eventually(lambda: programs.store.zcard(users) > 50, "users have histories")
        programs.train()
        with connect_api(address) as client, connect(store.url("looker"), "looker") as looker:
            subjects = until_found(programs, client)
            for request in requests(subjects):
                eventually(lambda r=request: ask(client, r).problem is None, str(request))
            publish_once(client, subjects)
            programs.train()
            renew_lock(programs)
            assert "rolled back" in programs.run(
                "trainer", "rollback", redis_url=store.url("trainer")
            )
            assert looker.hgetall(programs.keyspace.topics())
            assert looker.get(programs.keyspace.model_current())
            assert neighbors(looker, programs.keyspace, subjects.instrument_id).own > 0
            assert len([*looker.scan_iter(f"{NAMESPACE}:model:*", count=1000)]) > 0
    assert denied(programs) == []
    used = programs.store.info("commandstats")
    unused = [c for c in documented_commands() if not used.get(f"cmdstat_{c}", {}).get("calls")]
    assert unused == []
    assert_no_password_is_shown(programs)


def publish_once(client: httpx.Client, subjects: Subjects) -> None:
    """Publish a quote under an idempotency key."""
    now_ms = time.time_ns() // 1_000_000
    about = {"instrument_id": subjects.instrument_id, "price": subjects.price, "ts": now_ms}
    headers = {"Idempotency-Key": "once"}
    client.post("/v1/events", json=[{"type": "quote", **about}], headers=headers).raise_for_status()


def renew_lock(programs: Programs) -> None:
    """Hold the lock until it is renewed, as a training does that takes its time."""
    with (
        connect(programs.guarded.url("trainer"), "tests") as store,
        held(store, programs.keyspace, 3, 0, lambda _: True),
    ):
        renewed = "cmdstat_pexpire"
        eventually(lambda: renewed in programs.store.info("commandstats"), "it is renewed")


def until_found(programs: Programs, client: httpx.Client) -> Subjects:
    found: list[Subjects] = []

    def look_for_them() -> bool:
        subjects = find_subjects(client)
        found.extend([subjects] if subjects else [])
        return bool(found)

    eventually(look_for_them, "there is enough to ask about")
    return found[0]


def denied(programs: Programs) -> list[tuple[str, ...]]:
    log = programs.store.acl_log()
    return [(entry["username"], entry["reason"], entry["object"]) for entry in log]


def documented_commands() -> set[str]:
    """The commands of the programs' rules; those of a person are a whole category."""
    of_programs = [rule for user, rule in rules().items() if user not in ("looker", "default")]
    return set(re.findall(r"\+([a-z|]+)", " ".join(of_programs)))


def assert_no_password_is_shown(programs: Programs) -> None:
    for log in programs.folder.glob("*.log"):
        assert "-password" not in log.read_text(encoding="utf-8"), log


Url = Callable[..., str]


@pytest.fixture
def url(cluster_url: str) -> Iterator[Url]:
    """`REDIS_URL` of a user of the cluster, who has the documented rights."""
    text = DOCUMENT.read_text(encoding="utf-8")
    (added,) = re.findall(r"\*\*In a cluster\*\*[^`]+`([^`]+)`", text)
    with redis.Redis.from_url(cluster_url) as node:

        def of(user: str, *, less: str = "") -> str:
            rights = [*rules()[user].split(), *added.split()]
            given = [right for right in rights if right != less]
            node.execute_command("ACL SETUSER", user, "reset", *given)
            return cluster_url.replace("redis://", f"redis://{user}:{user}-password@")

        yield of
        for user in set(rules()) - {"default"}:
            node.acl_deluser(user)


@pytest.mark.parametrize("user", ["topics", "trainer"])
def test_programs_that_connect_synchronously_have_the_rights_for_it(url: Url, user: str) -> None:
    with connect(url(user), "tests") as store:
        check_kept(store)
        assert store.hgetall("live:meta:topics") == {}


async def test_a_worker_has_the_rights_for_it_and_names_a_missing_one(url: Url) -> None:
    store = await connect_async(url("worker"), "tests")
    assert isinstance(store, RedisCluster)
    await check_kept_async(store)
    assert (
        await store.eval("return redis.call('HGET', KEYS[1], 'off')", 1, "live:bars:{q0}:4") is None
    )
    with pytest.raises(NoPermissionError, match="'worker' of Redis may not HGETALL other"):
        await store.hgetall("other")
    await store.aclose()


async def test_the_api_has_the_rights_for_it(url: Url) -> None:
    address = url("api")
    store = Store(address, "live", Metrics().store_errors)
    async with store.connecting():
        assert await store.answer(pointer()) is None
    async with Channels(address).subscribed(["live:bars-changed:{q0}"]) as subscriptions:
        assert len(subscriptions) == 1


@pytest.mark.parametrize("user", ["topics", "worker"])
async def test_a_user_denied_the_slot_map_gets_a_clear_error(url: Url, user: str) -> None:
    address = url(user, less="+cluster|slots")
    with pytest.raises(StoreRefusesError, match=f"'{user}' of Redis may not CLUSTER SLOTS"):
        await connect_async(address, "tests") if user == "worker" else connect(address, "tests")


def pointer() -> Read[bytes | None]:
    (value,) = yield [("GET", "live:model:current")]
    return value
