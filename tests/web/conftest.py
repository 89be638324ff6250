"""A browser, and pages whose errors fail the test: `await page.goto(f"{stack.url}/#/markets/4")`.

All files share one worker, one API and one browser, as starting these takes longer than most tests.
A file uses users of its own.
"""

import contextlib
import dataclasses
import shutil
import uuid
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright, expect

from contracts.keyspace import Keyspace
from contracts.topics import ALL, STREAMED
from infra.local.process import free_port
from operations.topics import ensure
from runtime.kafka import broker as brokers
from runtime.kafka.config import plain
from runtime.redis.stores import connect
from runtime.topology import Topology
from tests.integration.conftest import Pipeline
from tests.patience import PATIENCE_S

from .seeds import CATALOG
from .stack import Stack
from .stack import stack as running_stack

CHROMIUM = shutil.which("chromium")
_BEHIND = pytest.StashKey[Stack]()
_STACK = pytest.StashKey[Stack]()
expect.set_options(timeout=PATIENCE_S * 1000)


@pytest.fixture(scope="module")
def behind(
    request: pytest.FixtureRequest,
    broker: str,
    store_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Stack:
    """A worker, and the means to run an API next to it, at a port that `stack` does not use."""
    return _shared(request, _BEHIND, lambda: _worker(broker, store_url, tmp_path_factory))


@pytest.fixture(scope="module")
def stack(request: pytest.FixtureRequest, behind: Stack) -> Stack:
    """A worker and an API, with a few instruments in the catalog."""
    return _shared(request, _STACK, lambda: _api(behind))


def _shared(
    request: pytest.FixtureRequest,
    key: pytest.StashKey[Stack],
    make: Callable[[], contextlib.AbstractContextManager[Stack]],
) -> Stack:
    """Return what the files of this folder share: made for the first of them, ended after the last.

    Before any other test, that is: those recreate the topics.
    """
    folder = request.node.parent
    if key not in folder.stash:
        resources = contextlib.ExitStack()
        folder.stash[key] = resources.enter_context(make())
        resources.callback(folder.stash.__delitem__, key)
        folder.addfinalizer(resources.close)
    return folder.stash[key]


@contextlib.contextmanager
def _worker(
    broker: str, store_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """Run a worker on recreated topics, in a namespace of its own."""
    client = brokers.Admin(plain(broker))
    brokers.delete(client, brokers.partitions_of(client).keys() & {topic.name for topic in ALL})
    keyspace = Keyspace(f"test-{uuid.uuid4().hex[:12]}")
    with connect(store_url, "tests") as store:
        ensure(client, store, keyspace, {topic.name: 2 for topic in STREAMED})
        topology = Topology.from_hash(store.hgetall(keyspace.topics()))
    folder = tmp_path_factory.mktemp("web")
    pipeline = Pipeline(broker, store_url, keyspace.namespace, topology, folder)
    with contextlib.closing(pipeline.store), running_stack(pipeline) as stack:
        yield stack


@contextlib.contextmanager
def _api(behind: Stack) -> Iterator[Stack]:
    """Run an API next to a worker, and describe a few instruments."""
    stack = dataclasses.replace(behind, port=free_port())
    with stack.api():
        stack.describe(*CATALOG)
        yield stack


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Debian's Chromium."""
    if CHROMIUM is None:
        pytest.skip("there is no browser: apt-get install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM)
        yield browser
        await browser.close()


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    """An empty page; what it complains about fails the test in the end."""
    context = await browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(PATIENCE_S * 1000)
    page = await context.new_page()
    complaints: list[str] = []

    def said(message: ConsoleMessage) -> None:
        # A browser complains about each answer that is an error, whatever the page makes of it.
        refused = message.text.startswith("Failed to load resource")
        if message.type in {"warning", "error"} and not refused:
            complaints.append(message.text)

    page.on("console", said)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    await context.close()
    assert complaints == []
