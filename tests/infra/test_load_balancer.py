"""The real nginx before two real API processes, one of which is killed while clients ask."""

import asyncio
import dataclasses
import json
import re
import subprocess
import sys
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import httpx
import pytest

from contracts.bars import BarValue
from contracts.keyspace import Keyspace
from contracts.partitioning import instrument_partition
from contracts.topics import ALL, QUOTES
from infra.local.process import Server, await_ready, free_port, running, start, stop
from operations.topics import ensure
from runtime.kafka import broker as brokers
from runtime.kafka.config import plain
from runtime.redis.stores import connect
from tests.api.conftest import NOW_MS, TOPOLOGY, Filled
from tests.api.streaming import value, worker
from tests.infra.door import door as nginx
from tests.infra.door import needs_nginx, served
from tests.kafka_log import records_of
from tests.patience import PATIENCE_S, eventually
from tickrec_client import Tickrec

pytestmark = [needs_nginx, pytest.mark.stack]

READERS = 4
WRITERS = 32
"""so many that the process which is killed has some writes in Kafka that it has not answered"""
MINUTE_S = NOW_MS // 60_000 * 60
END_MS = NOW_MS // 60_000 * 60_000 + 60_000
PAGE = "https://shop.example"


@dataclass
class Door:
    """nginx, the API processes behind it, and how to kill them."""

    nginx: Server
    apis: list[Server]
    processes: list[subprocess.Popen[bytes]]

    def kill(self, number: int) -> None:
        self.processes[number].kill()
        self.processes[number].wait()

    def start_again(self) -> None:
        """Start what was killed."""
        for number, api in enumerate(self.apis):
            if self.processes[number].poll() is not None:
                self.processes[number] = start(api.command)
                await_ready(api, self.processes[number])

    def answered_by_first(self) -> int:
        """Return how many answers nginx had from the first process, as its log says."""
        said = re.compile(rf'"upstream":"{self.apis[0].address[7:]}","upstream_status":"[23]')
        return len(said.findall(self.nginx.command.log.read_text()))


class Load:
    """Clients that repeat an action, and count how often."""

    def __init__(self, clients: int, act: Callable[[int], None]) -> None:
        self._act = act
        self._numbers = iter(range(sys.maxsize))
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._go_on) for _ in range(clients)]
        self.failures: list[Exception] = []
        self.done = 0

    def wait_for(self, more: int) -> None:
        """Return once they did it so many times more."""
        goal = self.done + more
        eventually(lambda: self.done >= goal or bool(self.failures), f"{more} more", every_s=0.01)

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _go_on(self) -> None:
        while not self._stopping.is_set():
            try:
                self._act(next(self._numbers))
            except Exception as error:  # noqa: BLE001 (the test looks at them)
                self.failures.append(error)
            self.done += 1


@pytest.fixture(scope="module")
def settings(broker: str, store_url: str) -> Iterator[dict[str, str]]:
    """Those of an API with an hour of bars of instrument 4, and what is popular."""
    client = brokers.Admin(plain(broker))
    brokers.delete(client, brokers.partitions_of(client).keys() & {topic.name for topic in ALL})
    with connect(store_url, "tests") as store:
        filled = Filled(store, Keyspace(f"test-{uuid.uuid4().hex[:12]}"))
        ensure(client, store, filled.keys, dataclasses.asdict(TOPOLOGY))
        bar = BarValue(o=1, h=2, l=1, c=2, v=1, n=1, pv=1, ot=NOW_MS, ct=NOW_MS, off=(0, 1))
        filled.bars(4, {MINUTE_S - 60 * n: bar for n in range(60)})
        filled.generation("20210815T211000Z-7", {}, popular=[("0", 9.0)])
        yield {
            "KAFKA_BOOTSTRAP_SERVERS": broker,
            "REDIS_URL": store_url,
            "NAMESPACE": filled.keys.namespace,
            "API_CORS_ORIGINS": PAGE,
        }


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory, settings: dict[str, str]) -> Iterator[Door]:
    folder = tmp_path_factory.mktemp("door")
    ports = [free_port(), free_port()]
    apis = [api(port, folder, settings) for port in ports]
    processes = [start(api.command) for api in apis]
    door = Door(nginx(folder, ports, "/health/ready"), apis, processes)
    try:
        for server, process in zip(apis, processes, strict=True):
            await_ready(server, process)
        with running(door.nginx):
            yield door
    finally:
        stop(*zip(processes, (api.command for api in apis), strict=True))


def api(port: int, folder: Path, settings: dict[str, str]) -> Server:
    argv = [sys.executable, "-m", "tests.api.patient"]
    return served(
        f"api-{port}", port, argv, folder, "/health/ready", API_PORT=str(port), **settings
    )


@pytest.fixture
def client(door: Door) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=door.nginx.address, timeout=PATIENCE_S) as client:
        yield client


def test_clients_that_retry_see_no_read_fail_while_a_process_is_killed_and_comes_back(
    door: Door,
) -> None:
    with Tickrec(door.nginx.address) as tickrec:

        def read(number: int) -> None:
            assert len(tickrec.instrument_bars(4, limit=60, end=END_MS).bars) == 60
            assert tickrec.user_recommendations(f"user-{number}").items

        with Load(READERS, read) as load:
            load.wait_for(100)
            door.kill(0)
            load.wait_for(200)
            door.start_again()
            before = door.answered_by_first()
            eventually(lambda: door.answered_by_first() > before, "nginx asks the one that is back")
            load.wait_for(100)

    assert load.failures == []


def test_each_header_of_the_api_comes_once_through_nginx(client: httpx.Client) -> None:
    path = f"/v1/instruments/4/bars?limit=60&end={END_MS}"
    answer = client.get(path, headers={"Accept-Encoding": "gzip"})

    assert answer.headers["ETag"].startswith('W/"')
    times = Counter(name.lower() for name, _ in answer.headers.raw)
    # It is a list, to which nginx adds what it varies by itself.
    assert {name for name, number in times.items() if number > 1} <= {b"vary"}


def test_the_rest_of_an_answer_fits_into_its_header(client: httpx.Client) -> None:
    unknown = [f"{n:X<32}" for n in range(99)]
    without_hours = [f"{n:019}" for n in range(100)]
    asked = {"start": 0, "limit": 100, "end": END_MS}
    headers = {"Accept": "text/csv", "Origin": PAGE, "X-Request-Id": "x" * 128}

    def rest_of(instruments: list[str], **more: str) -> dict[str, object]:
        named = {"instruments": ",".join(instruments)}
        answer = client.get("/v1/bars", params={**asked, **named, **more}, headers=headers)
        assert answer.status_code == 200, answer.text
        rest: dict[str, object] = json.loads(answer.headers["Tickrec-Answer"])
        return rest

    assert rest_of(["4", *unknown], limit="59").items() >= {"unknown": unknown}.items()
    for _ in range(10):  # headers that nginx cannot take would cost each process its place
        rest = rest_of(without_hours, session="regular", interval="1d")
        assert rest["omitted"] == ["without_hours"]
    assert {client.get("/v1/instruments/4/bars").status_code for _ in range(8)} == {200}


async def test_the_example_runs_as_a_script_through_nginx(
    door: Door, settings: dict[str, str]
) -> None:
    script = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tickrec_client", door.nginx.address),
        stdout=subprocess.PIPE,
    )
    said = asyncio.create_task(script.communicate())
    async with worker(settings["REDIS_URL"], settings["NAMESPACE"]) as its:
        for quotes in count(1):  # so that there are events to send
            await its.write([(4, MINUTE_S, value(quotes))])
            if said in (await asyncio.wait([said], timeout=0.05))[0]:
                break

    lines = said.result()[0].decode().splitlines()
    stream = ["LiveBar", "Live", "LiveBar", "LiveBar"]
    kinds = ["bars", "published", *stream, "recommended", "published"]
    assert [line.split()[0] for line in lines] == kinds


def test_no_write_is_sent_twice_even_if_its_process_is_killed(
    door: Door, client: httpx.Client, broker: str
) -> None:
    statuses: dict[int, int] = {}

    def write(number: int) -> None:
        statuses[number] = client.post("/v1/events", json=quote(number)).status_code

    with Load(WRITERS, write) as load:
        load.wait_for(100)
        door.kill(0)
        load.wait_for(200)
    last = {write_to(client, partition) for partition in range(TOPOLOGY.quotes)}

    records = records_of(plain(broker), QUOTES.name)
    published = Counter(json.loads(record.value())["instrument_id"] for record in records)
    assert last <= published.keys()
    # Who had the head of an answer when the process was killed gets no body to it.
    cut_off = [one for one in load.failures if isinstance(one, httpx.RemoteProtocolError)]
    assert load.failures == cut_off
    assert len(cut_off) <= WRITERS
    assert set(statuses.values()) <= {202, 503}
    assert [number for number, times in published.items() if times > 1] == []
    assert {number for number, status in statuses.items() if status == 202} <= published.keys()


def quote(number: int) -> dict[str, object]:
    return {"type": "quote", "instrument_id": number, "price": 1, "ts": NOW_MS}


def write_to(client: httpx.Client, partition: int) -> int:
    """Write one more quote to a partition; return its instrument."""
    free = range(1_000_000, 2_000_000)
    number = next(n for n in free if instrument_partition(n, TOPOLOGY.quotes) == partition)
    assert client.post("/v1/events", json=quote(number)).status_code == 202
    return number
