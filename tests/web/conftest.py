"""A browser, and pages in it whose complaints fail the test.

- `stack` (module): a worker on topics of its own, and an API.
- `behind` (module): the same worker, for tests that start and stop an API of their own.
- `page` (function): an empty page in a browser: `await page.goto(f"{stack.url}/#/markets/4")`. What
  it says on its console, throws, or is forbidden by its policy fails the test in the end.
"""

import dataclasses
import shutil
import uuid
from collections.abc import AsyncIterator, Iterator

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright, expect

from contracts.keyspace import Keyspace
from contracts.topics import ALL, STREAMED
from infra import broker as brokers
from infra.local.process import free_port
from infra.topics import ensure
from runtime.stores import connect
from runtime.topology import Topology
from tests.integration.conftest import Pipeline
from tests.patience import PATIENCE_S

from .stack import Stack
from .stack import stack as running_stack

CHROMIUM = shutil.which("chromium")
expect.set_options(timeout=PATIENCE_S * 1000)


@pytest.fixture(scope="module")
def web_pipeline(
    broker: str, store_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pipeline]:
    """Topics made anew, and a namespace, for all tests of a module."""
    client = brokers.admin(broker)
    brokers.delete(client, brokers.partitions_of(client).keys() & {topic.name for topic in ALL})
    keyspace = Keyspace(f"test-{uuid.uuid4().hex[:12]}")
    with connect(store_url, "tests") as store:
        ensure(client, store, keyspace, {topic.name: 2 for topic in STREAMED})
        topology = Topology.from_hash(store.hgetall(keyspace.topics()))
    folder = tmp_path_factory.mktemp("web")
    pipeline = Pipeline(broker, store_url, keyspace.namespace, topology, folder)
    yield pipeline
    pipeline.store.close()


@pytest.fixture(scope="module")
def behind(web_pipeline: Pipeline) -> Iterator[Stack]:
    """A worker, and the means to run an API beside it, at a port that `stack` does not use."""
    with running_stack(web_pipeline) as stack:
        yield stack


@pytest.fixture(scope="module")
def stack(behind: Stack) -> Iterator[Stack]:
    """A worker and an API."""
    stack = dataclasses.replace(behind, port=free_port())
    with stack.api():
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
