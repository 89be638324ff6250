"""clients/python has every `/v1` endpoint: against a real API, Valkey and broker.

Each of its methods is called with the values that the API's description shows for its parameters.
"""

import dataclasses
import importlib
import json
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, get_args

import httpx
import msgspec
import pandas as pd
import pytest

from api.http.endpoint import Scope
from contracts.bars import BarValue
from contracts.generations import Canary, Current, Served
from contracts.keyspace import Keyspace
from contracts.topics import ALL
from infra.local.process import LOOPBACK, Command, Server, free_port, running
from operations.topics import ensure
from runtime.kafka import broker as brokers
from runtime.kafka.config import plain
from runtime.redis.stores import connect
from tests.api.conftest import TOPOLOGY, Filled
from tests.api.keys import entry, write_keys
from tests.patience import answers
from tickrec_client import Tickrec
from tickrec_client.stream_events import Live, LiveBar, LiveQuote

from .client_calls import ENDPOINTS, call, call_async, matches
from .client_code import files

BLOCK: Final = re.MULTILINE | re.DOTALL
ROOT: Final = Path(__file__).resolve().parents[2]
MINUTE_S: Final = int(time.time()) // 60 * 60
BAR: Final = BarValue(1, 2, 1, 2, 1, 1, 1, MINUTE_S * 1000, MINUTE_S * 1000, (0, 1))
G1, G2, G3 = (Served(name, "cosine", "user-knn") for name in ("g1", "g2", "g3"))


@pytest.fixture(scope="module")
def filled(broker: str, store_url: str) -> Iterator[Filled]:
    """A namespace with topics, bars, a catalog, a history and lists."""
    admin = brokers.Admin(plain(broker))
    brokers.delete(admin, brokers.partitions_of(admin).keys() & {topic.name for topic in ALL})
    with connect(store_url, "tests") as store:
        filled = Filled(store, Keyspace(f"test-{uuid.uuid4().hex[:12]}"))
        ensure(admin, store, filled.keys, dataclasses.asdict(TOPOLOGY))
        for instrument_id in (4, 5):
            filled.bars(instrument_id, {MINUTE_S - 60 * n: BAR for n in range(5)})
        filled.instrument(
            4, "SUCA", categories=("tech",), attributes={"lot": 100, "currency": "USD"}
        )
        filled.instrument(6, "SUMO")
        filled.history("ABC", {"4": (1, 5)}, off=7)
        for name in ("g1", "g2", "g3"):
            filled.generation(name, {"4": [("5", 0.5, 2), ("7", 0.25, 1)]}, popular=[("7", 3)])
        filled.user_list("g1", "ABC", off=7, items=[("5", 0.5, ["4"])])
        yield filled


@pytest.fixture(autouse=True)
def served(filled: Filled) -> None:
    """Have a canary on trial, and a generation to go back to."""
    canary = Canary(G2, 0.25, 1629061628123, 1629065228123)
    current = Current(5, {"default": G1}, None, canary, [G3])
    filled.serve(current)


@pytest.fixture(scope="module")
def api(
    filled: Filled, broker: str, store_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The address of a real API, with a key for all."""
    folder = tmp_path_factory.mktemp("client")
    every = entry("all", scopes=[*get_args(Scope)])
    port = free_port()
    settings = {
        "API_PORT": str(port),
        "API_KEYS_FILE": str(write_keys(folder / "keys.json", every)),
        "REDIS_URL": store_url,
        "KAFKA_BOOTSTRAP_SERVERS": broker,
        "NAMESPACE": filled.keys.namespace,
    }
    argv = (sys.executable, "-m", "tests.api.patient")
    address = f"http://{LOOPBACK}:{port}"
    command = Command("api", argv, folder / "api.log", settings)
    # It has read the catalog by then.
    server = Server(command, address, "api", lambda: answers(f"{address}/v1/instruments/SUCA"))
    with running(server):
        yield address


@pytest.fixture
def tickrec(api: str) -> Iterator[Tickrec]:
    with Tickrec(api, "all") as tickrec:
        yield tickrec


@pytest.fixture
def received(tickrec: Tickrec) -> list[httpx.Response]:
    """What the client is answered from now on."""
    received: list[httpx.Response] = []
    tickrec._connection._http.event_hooks["response"].append(received.append)
    return received


def test_what_is_generated_is_up_to_date() -> None:
    for file, code in files().items():
        assert file.read_text() == code, "run `python -m tests.docs.client_code`"


@pytest.mark.parametrize("name", [name for name in ENDPOINTS if name != "stream"])
def test_a_method_asks_its_endpoint_and_loses_nothing_of_the_answer(
    tickrec: Tickrec, received: list[httpx.Response], name: str
) -> None:
    found, endpoint, answer = call(tickrec, name), ENDPOINTS[name], received[-1]
    assert matches(endpoint, answer.request)
    assert answer.status_code == endpoint.success.status
    if endpoint.success.media_type == "application/json":
        assert msgspec.to_builtins(found) == answer.json()
        example = json.loads(msgspec.json.encode(endpoint.success.example))
        assert msgspec.to_builtins(msgspec.convert(example, type(found))) == example
    else:
        first, live = found
        expected = {"stream_bars": LiveBar, "stream_quotes": LiveQuote}[name]
        assert (type(first), first.instrument_id, live) == (expected, 4, Live())


def test_pages_go_on_until_there_are_none(tickrec: Tickrec) -> None:
    of_one = list(tickrec.instrument_bars_pages(4, start=0, limit=2))
    assert [len(page.bars) for page in of_one] == [2, 2, 1]
    bars = [bar for page in of_one for bar in page.bars]
    assert bars == tickrec.instrument_bars(4, start=0, limit=5).bars
    of_many = list(tickrec.bars_pages([4, 5], start=0, limit=4))
    assert sum(len(bars) for page in of_many for bars in page.bars.values()) == 10
    assert len(of_many) > 1
    symbols = [item.symbol for page in tickrec.instruments_pages(n=1) for item in page.items]
    assert symbols == ["SUCA", "SUMO"]


READS: Final = [name for name, of in ENDPOINTS.items() if of.method == "GET"]


async def test_the_client_for_asyncio_reads_the_same(api: str, tickrec: Tickrec) -> None:
    for name in READS:
        found = await call_async(api, "all", name)
        assert type(found) is type(call(tickrec, name)), name


def test_answers_become_data_frames(tickrec: Tickrec) -> None:
    bars = tickrec.instrument_bars(4, start=0, limit=5).to_pandas()
    assert bars.index[-1] == pd.Timestamp(MINUTE_S, unit="s", tz="UTC")
    assert bars["c"].tolist() == [2.0] * 5
    of_many = tickrec.bars(["suca", 5], start=0, limit=10).to_pandas()
    assert of_many.index.names == ["instrument", "t"]
    for name in ("suca", "5"):
        assert of_many.loc[name]["o"].tolist() == [1.0] * 5
    assert tickrec.latest_quotes(["SUCA"]).to_pandas()["instrument"].tolist() == ["SUCA"]
    items = tickrec.user_recommendations("ABC", n=2).to_pandas()
    assert items["instrument_id"].tolist() == [5, 7]
    assert tickrec.similar_instruments(4, n=1).to_pandas()["instrument_id"].tolist() == [5]
    none = tickrec.instrument_bars(4, end=1, start=0).to_pandas()
    assert (len(none), list(none.columns)) == (0, list(bars.columns))


def test_the_examples_of_the_readme_print_what_it_shows(
    api: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "clients/python/README.md").read_text(encoding="utf-8")
    shown = re.findall(r"^```python\n(.*?)^```\n\n```text\n(.*?)^```$", text, BLOCK)
    assert len(shown) == 4
    for example, expected in shown:
        # Each in a thread: one of them has a loop of its own.
        code = example.replace("http://localhost:8000", api).replace("tk_...", "all")
        with ThreadPoolExecutor(1) as thread:
            thread.submit(exec, code, {}).result()
        printed = capsys.readouterr().out
        assert [line.rstrip() for line in printed.splitlines()] == expected.splitlines()


@pytest.fixture
def client(api: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """What openapi-python-client makes of the API's own document, without a warning."""
    document = tmp_path / "openapi.json"
    document.write_bytes(httpx.get(f"{api}/openapi.json").raise_for_status().content)
    (tmp_path / "config.yml").write_text("post_hooks: []")  # it would format the code
    options = ("--meta=none", "--fail-on-warning", f"--config={tmp_path / 'config.yml'}")
    argv = (sys.executable, "-m", "openapi_python_client", "generate", f"--path={document}")
    made = subprocess.run(
        (*argv, *options, f"--output-path={tmp_path / 'generated_client'}"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    monkeypatch.syspath_prepend(tmp_path)
    generated = importlib.import_module("generated_client")
    with generated.AuthenticatedClient(base_url=api, token="all") as its:
        yield its


def asked(client: Any, operation: str, *path: Any, **given: Any) -> Any:
    """Return the JSON of an answer, from the client's own types."""
    module = importlib.import_module(f"generated_client.api.{operation}")
    answer = module.sync_detailed(*path, client=client, **given)
    assert answer.status_code < 300, answer.content
    return answer.parsed.to_dict()


@pytest.mark.slow
def test_a_generated_client_reads_and_writes(client: Any) -> None:
    models = importlib.import_module("generated_client.models")

    bars = asked(client, "instruments.instrument_bars", "SUCA", start=0, limit=5)["bars"]
    assert [bar["t"] for bar in bars] == [(MINUTE_S - 60 * n) * 1000 for n in (4, 3, 2, 1, 0)]
    # The generator does not read `explode: false`: it would repeat the parameter for each item.
    quotes = asked(client, "instruments.latest_quotes", instruments=["4,SUMO"])
    assert (quotes["quotes"]["4"]["price"], quotes["unknown"]) == (2, ["SUMO"])
    listed = asked(client, "users.user_recommendations", "ABC", n=2)
    assert [item["instrument_id"] for item in listed["items"]] == [5, 7]
    basket = models.ForItems.from_dict({"items": [{"instrument_id": 4}], "n": 1})
    listed = asked(client, "recommendations.item_recommendations", body=basket)
    assert [item["instrument_id"] for item in listed["items"]] == [5]
    event = {"type": "quote", "instrument_id": 4, "price": 2, "ts": MINUTE_S * 1000}
    quote = models.PublishEventsQuoteEvent.from_dict(event)
    taken = asked(client, "events.publish_events", body=[quote])
    assert taken == {"quotes": 1, "interactions": 0, "late": 0}
