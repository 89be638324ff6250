"""The documented rights in a cluster, with the additional ones that a cluster needs."""

import re
from collections.abc import Callable, Iterator

import pytest
import redis
from redis.asyncio import RedisCluster
from redis.exceptions import NoPermissionError

from api.http.metrics import Metrics
from api.live.reading import Channels
from api.redis.reading import Read
from api.redis.store import Store
from runtime.redis.refusals import StoreRefusesError
from runtime.redis.stores import check_kept, check_kept_async, connect, connect_async
from tests.runtime.redis.guarded import DOCUMENT, rules

Url = Callable[..., str]

pytestmark = pytest.mark.slow


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
    assert await store.eval("return redis.call('HGET', KEYS[1], 'off')", 1, "live:bars:x") is None
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
