"""The servers that the tests run against, always real ones; `pytest --fixtures` lists the fixtures.

All tests of a session share the topics' names: what a test leaves running must not write to them.

The broker is the first available one of these, and the run's summary says which, and why:
`KAFKA_BOOTSTRAP_SERVERS`; a container; Apache Kafka from Maven's jars; Tansu. The same goes for the
store: `REDIS_URL`; a container; Valkey (see `tests.servers`). A container has the image and
settings of `docker-compose.yml`; if it does not start, the summary says why, and the next kind is
taken. The users of Kafka are the same in a container and from jars, so the same tests run on both.
`TICKREC_TEST_BROKER=tansu` and `TICKREC_TEST_STORE=redis-server` choose what would come later or
not at all. A given broker must have none of our topics, as the tests delete them; at the end they
leave neither topics there nor keys in a given store.

Results do not depend on the machine's speed: Hypothesis has no deadline, and waits for a condition
have bounds that only a defect reaches. Hypothesis tries a tenth of its examples, and all of them
with `--hypothesis-profile full` (see `tests.examples`).

Tests marked `kafka_only` are skipped on Tansu. Tansu also answers ListOffsets "latest" with the
first offset of the last batch + 1: only a fetch shows its log's end (see `infra.local.tansu`).
"""

import contextlib
import dataclasses
import functools
import gc
import random
import time
import uuid
import zlib
from collections.abc import Callable, Collection, Generator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from httpx._transports import default as transports
from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

from contracts.keyspace import Keyspace
from contracts.topics import STREAMED
from infra.local import store as stores
from infra.local.process import free_port, running
from operations.topics import ensure
from runtime.kafka import broker as brokers
from runtime.kafka.config import plain
from runtime.redis.stores import Store, connect
from runtime.topology import Topology
from tests.examples import register_profiles
from tests.guarded import Guarded
from tests.patience import await_answers
from tests.servers import OURS, SESSION, Taken, take_broker, take_store

WEB = "tests/web/"
CHECKED = ("tests/archive/test_checks.py", "tests/trainer/spark/test_checking.py")
TOGETHER = (WEB, CHECKED)
"""Beginnings of paths: the page's tests share a stack; Great Expectations takes 4 s to import."""
TopicsFactory = Callable[..., Topology]

_taken: set[str] = set()
"""The summary's lines on servers: a process of pytest-xdist may have taken other ones."""

register_profiles()
await_answers()
# Else each client reads the authorities of the web, for 20 ms, and `httpx.get` makes a client.
setattr(transports, "create_ssl_context", functools.cache(httpx.create_ssl_context))  # noqa: B010


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in sorted(_taken):
        terminalreporter.write_line(line)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    # A process of pytest-xdist reports to the one that prints.
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["taken"] = sorted(_taken)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    _taken.update(getattr(node, "workeroutput", {}).get("taken", []))


def _fixture(name: str, take: Callable[[contextlib.ExitStack, Path], Taken]) -> Any:
    @pytest.fixture(scope="session", name=f"_{name}")
    def fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Taken]:
        with contextlib.ExitStack() as stack:
            taken = take(stack, tmp_path_factory.mktemp(name))
            _taken.add(f"{name}: {taken.product} ({taken.why})")
            yield taken

    return fixture


_broker, _store = _fixture("broker", take_broker), _fixture("store", take_store)


@pytest.fixture(scope="session")
def broker(_broker: Taken) -> str:
    """Bootstrap servers of the broker."""
    return _broker.address


@pytest.fixture(scope="session")
def users(_broker: Taken) -> Guarded | None:
    """The same broker, where its users log in; None if it knows none."""
    return _broker.guarded


@pytest.fixture(scope="session")
def guarded(users: Guarded | None) -> Guarded:
    """The same broker, where its users log in."""
    if users is None:
        pytest.skip("the broker knows no users here: it needs Apache Kafka of the tests' own")
    return users


@pytest.fixture(scope="session")
def store_url(_store: Taken) -> str:
    """URL of the store."""
    return _store.address


@pytest.fixture(scope="session")
def cluster_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of Valkey as a cluster of one node, which refuses what any would."""
    server = stores.valkey(free_port(), tmp_path_factory.mktemp("cluster"))
    # The bus's port would be the other one + 10,000, which may be invalid.
    options = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    command = dataclasses.replace(server.command, argv=(*server.command.argv, *options))
    with running(dataclasses.replace(server, command=command)):
        with redis.Redis.from_url(server.address, decode_responses=True) as node:
            node.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
            while node.execute_command("CLUSTER INFO")["cluster_state"] != "ok":
                time.sleep(0.01)
        yield server.address


@pytest.fixture
def seed() -> int:
    """A seed, printed so that a failure can be repeated."""
    seed = random.randrange(2**32)
    print("seed", seed)
    return seed


@pytest.fixture
def namespace() -> str:
    """A fresh namespace."""
    return f"{SESSION}-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """A client of the store."""
    with connect(store_url, "tests") as client:
        yield client


@pytest.fixture
def keyspace(namespace: str) -> Keyspace:
    """The keys of the test's namespace."""
    return Keyspace(namespace)


@pytest.fixture
def topics(broker: str, store_url: str, namespace: str) -> TopicsFactory:
    """A factory: `topics(quotes=4)` recreates all topics, empty, and notes them in Redis."""

    def make(*, partitions: int = 2, **of_topic: int) -> Topology:
        asked = {topic.name: partitions for topic in STREAMED} | of_topic
        client = brokers.Admin(plain(broker))
        brokers.delete(client, brokers.partitions_of(client).keys() & OURS)
        keyspace = Keyspace(namespace)
        with connect(store_url, "tests") as store:
            store.delete(keyspace.topics())
            ensure(client, store, keyspace, asked)
            return Topology.from_hash(store.hgetall(keyspace.topics()))

    return make


@pytest.fixture
def topology(topics: TopicsFactory) -> Topology:
    """All topics recreated, empty, two partitions each."""
    return topics()


@pytest.fixture(autouse=True)
def _skip_on_tansu(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("kafka_only") is None:
        return
    if brokers.is_tansu(brokers.Admin(plain(request.getfixturevalue("broker")))):
        pytest.skip("Tansu does not support what this test is about: it needs Apache Kafka")


class ByFile(LoadFileScheduling):
    """Keeps the tests of a file in one process, and those that share what takes long to start.

    Two processes begin with the first files, which need the broker, and the others with the last:
    the broker that each process starts for itself takes as long as hundreds of tests.

    `--dist=loadgroup` would do it, but pytest-xdist 3.8 cannot rename the tests of pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.split("::", 1)[0]
        return next((str(group) for group in TOGETHER if path.startswith(group)), path)

    def _assign_work_unit(self, node: WorkerController) -> None:
        if self.nodes.index(node) not in (0, 2):
            self.workqueue.move_to_end(next(reversed(self.workqueue)), last=False)
        super()._assign_work_unit(node)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByFile:
    return ByFile(config, log)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Collect tests without collecting garbage: all that is imported and made there stays.

    The search for it takes longer than the rest, in each process of pytest-xdist. In a new clone
    each of these begins with other files, so that one compiles what the others then read.
    """
    config = session.config
    if config.args == config.getini("testpaths"):
        files = sorted(map(str, Path(__file__).parent.rglob("test_*.py")))
        first = len(files) * worker_number(config) // worker_count(config)
        config.args = files[first:] + files[:first]
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark tests that drive a browser, and put those first, which take long in one process.

    Then come files that need the broker. Where several processes share them, the files of either
    kind are mixed: those of a folder mostly wait for the same, or all compute.
    """
    is_mixed = worker_count(config) > 1
    with_broker = {path_of(item) for item in items if "_broker" in fixtures_of(item)}

    def place(item: pytest.Item) -> tuple[bool, bool, int, str]:
        path = path_of(item)
        is_first = path.startswith(WEB)
        mixed = zlib.crc32(path.encode()) if is_mixed and not is_first else 0
        return not is_first, path not in with_broker, mixed, path

    for item in items:
        if "browser" in fixtures_of(item):
            item.add_marker(pytest.mark.stack)
    items.sort(key=place)


def path_of(item: pytest.Item) -> str:
    """Return the file of a test."""
    return item.nodeid.split("::", 1)[0]


def fixtures_of(item: pytest.Item) -> Collection[str]:
    """Return the names of all fixtures that a test needs, also through others."""
    return item.fixturenames if isinstance(item, pytest.Function) else ()


def worker_number(config: pytest.Config) -> int:
    """Return which of the processes of pytest-xdist this is, from 0."""
    return int(getattr(config, "workerinput", {}).get("workerid", "gw0")[2:])


def worker_count(config: pytest.Config) -> int:
    """Return how many processes of pytest-xdist there are."""
    return int(getattr(config, "workerinput", {}).get("workercount", 1))
