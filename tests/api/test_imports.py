"""Files of events of any length over HTTP, read back from a real broker."""

import asyncio
import contextlib
import gzip
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec
import pytest
from confluent_kafka import KafkaError, KafkaException
from limits import parse
from pydantic import SecretStr

from api.http import bodies, bounded, quotas
from api.http.idempotency import REPLAYED
from api.http.metrics import Metrics
from api.http.problems import LOG_UNAVAILABLE, Problem
from api.http.quotas import MAX_PACE_S, WriteQuota
from api.imports import importing, parts, publishing
from api.imports.lines import CSV, NDJSON
from api.imports.publishing import Exactly, Transactions
from contracts.topics import INTERACTIONS, QUOTES
from infra.local.process import Server, free_port, running
from runtime.kafka.config import KafkaConfig, plain
from runtime.topology import Topology
from tests.cases import each
from tests.guarded import Guarded
from tests.kafka_log import records_of
from tests.patience import PATIENCE_S, eventually
from tests.patience import answers as http_answers

from .conftest import Serve
from .keys import entry, write_keys
from .problems import problem
from .test_import_lines import as_csv, as_ndjson
from .test_main import api
from .test_writing import QUOTE, TRADE, read_back

PATH: Final = "/v1/events/import"
AS_NDJSON: Final = {"Content-Type": NDJSON[0]}
AS_CSV: Final = {"Content-Type": f"{CSV}; charset=utf-8"}
KEYED: Final = {**AS_NDJSON, "Idempotency-Key": "prices-2021-08-15"}
"""Kafka forgets the key with the topics, which each test recreates."""


def quotes(count: int, first: int = 0) -> list[dict[str, Any]]:
    """Return quotes, each with a price of its own."""
    return [{**QUOTE, "price": n + 1, "instrument_id": n % 7} for n in range(first, first + count)]


def prices(broker: str) -> list[float]:
    """Return the prices of all quotes that are committed to the log, in order."""
    records = records_of(plain(broker), QUOTES.name)
    return sorted(msgspec.json.decode(record.value())["price"] for record in records)


def await_prices(broker: str, more_than: int) -> None:
    """Wait until the log has more quotes than that."""
    eventually(lambda: len(prices(broker)) > more_than, "it publishes")


def up_to(count: int) -> list[float]:
    return [float(n + 1) for n in range(count)]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have parts of some ten lines."""
    monkeypatch.setattr(importing, "PART_BYTES", 1000)
    monkeypatch.setattr(importing, "Cutter", lambda **of: parts.Cutter(**of, most=1000))


async def post(client: httpx.AsyncClient, content: Any, headers: Any = AS_NDJSON) -> httpx.Response:
    return await client.post(PATH, content=content, headers=headers)


async def chunks(content: bytes, size: int = 777) -> AsyncIterator[bytes]:
    for at in range(0, len(content), size):
        yield content[at : at + size]


@pytest.mark.usefixtures("small")
async def test_a_file_of_many_parts_stands_in_the_log_once_and_in_order(
    writing: httpx.AsyncClient, broker: str, topology: Topology
) -> None:
    events = [*quotes(2000), *[TRADE] * 8]
    for n, (content, headers) in enumerate(
        (
            (as_ndjson(events), AS_NDJSON),
            (chunks(as_csv(events)), AS_CSV),
            (chunks(gzip.compress(as_csv(events, "\n"))), {**AS_CSV, "Content-Encoding": "gzip"}),
        ),
        start=1,
    ):
        answer = await post(writing, content, headers)
        assert (answer.status_code, answer.json()) == (202, {"quotes": 2000, "interactions": 8})
        found = read_back(broker, QUOTES.name, topology.quotes, 2000 * n)
        read_back(broker, INTERACTIONS.name, topology.interactions, 8 * n)
        for partition in range(topology.quotes):
            those = [r for r in found if r.partition == partition]
            in_order = [msgspec.json.decode(r.value)["price"] for r in those[-len(those) // n :]]
            assert in_order == sorted(in_order)


async def test_a_file_of_one_part_is_taken_as_a_whole_or_not_at_all(
    writing: httpx.AsyncClient, broker: str, topology: Topology
) -> None:
    events = [*quotes(2000), {**QUOTE, "size": -1}]
    for content, headers in ((as_ndjson(events), AS_NDJSON), (as_csv(events), AS_CSV)):
        bad = await post(writing, content, headers)
        assert problem(bad) == (422, "invalid-events")
        (error,) = bad.json()["errors"]
        assert (error["index"], error["field"]) == (2000, "size")
        assert error["line"] == (2001 if headers is AS_NDJSON else 2002)
        assert bad.json()["detail"].endswith("None was taken")
        assert (bad.json()["acknowledged"], bad.json()["line"]) == (0, 0)
    assert prices(broker) == []


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("headers", [AS_NDJSON, AS_CSV])
async def test_an_invalid_line_stops_publishing_before_its_part_and_all_lines_are_checked(
    writing: httpx.AsyncClient, broker: str, topology: Topology, headers: dict[str, str]
) -> None:
    events = quotes(300)
    events[150]["price"] = events[299]["price"] = -1
    answer = await post(writing, (as_ndjson if headers is AS_NDJSON else as_csv)(events), headers)
    assert problem(answer) == (422, "invalid-events")
    found = answer.json()
    assert [error["index"] for error in found["errors"]] == [150, 299]
    taken, line = found["acknowledged"], found["line"]
    assert 130 < taken <= 150
    assert line == taken + (headers is AS_CSV)
    assert (
        f"2 of 300 events invalid; the first is in line {151 + (headers is AS_CSV)}:"
        in (found["detail"])
    )
    assert f"The {taken} events up to line {line} are in the log" in found["detail"]
    assert prices(broker) == up_to(taken)


@pytest.mark.kafka_only
@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("headers", [AS_NDJSON, AS_CSV])
async def test_a_corrected_file_with_the_same_key_continues_after_what_is_in_the_log(
    writing: httpx.AsyncClient, broker: str, topology: Topology, headers: dict[str, str]
) -> None:
    form = as_ndjson if headers is AS_NDJSON else as_csv
    headers = {**KEYED, **headers}
    events = quotes(300)
    events[150]["price"] = -1
    stopped = (await post(writing, form(events), headers)).json()
    assert stopped["acknowledged"] > 0
    corrected = form(quotes(300))
    for replayed in (None, "true"):
        answer = await post(writing, chunks(corrected), headers)
        assert (answer.status_code, answer.json()) == (202, {"quotes": 300, "interactions": 0})
        assert answer.headers.get(REPLAYED) == replayed
    packed = {**headers, "Content-Encoding": "gzip"}
    assert (await post(writing, gzip.compress(corrected), packed)).headers[REPLAYED] == "true"
    assert prices(broker) == up_to(300)
    for other, how in (
        (form([{**quote, "size": 101} for quote in quotes(300)]), "has other lines"),
        (corrected[:5000], "is shorter"),
        (corrected + corrected, "is longer"),
    ):
        answer = await post(writing, other, headers)
        assert problem(answer) == (422, "idempotency-key-reused")
        assert how in answer.json()["detail"]
    assert prices(broker) == up_to(300)


@pytest.mark.kafka_only
async def test_a_file_that_ends_with_a_part_is_finished_and_cannot_grow(
    writing: httpx.AsyncClient, topology: Topology
) -> None:
    assert topology
    file = as_ndjson(quotes(3)) + b"\n"
    assert (await post(writing, file, KEYED)).status_code == 202
    longer = await post(writing, file + as_ndjson(quotes(1)), KEYED)
    assert problem(longer) == (422, "idempotency-key-reused")
    assert (await post(writing, file, KEYED)).headers[REPLAYED] == "true"


@pytest.mark.kafka_only
async def test_the_rights_of_the_api_suffice(
    serve: Serve, broker: str, topology: Topology, guarded: Guarded, namespace: str
) -> None:
    guarded.grant(namespace)
    async with serve(kafka=guarded.config("api")) as client:
        for replayed in (None, "true"):
            answer = await post(client, as_ndjson(quotes(3)), KEYED)
            assert (answer.status_code, answer.headers.get(REPLAYED)) == (202, replayed)
    assert prices(broker) == up_to(3)


@pytest.mark.kafka_only
@pytest.mark.usefixtures("small")
async def test_a_later_request_with_the_key_takes_over_from_one_that_still_runs(
    writing: httpx.AsyncClient, broker: str, topology: Topology
) -> None:
    file, goes_on = as_ndjson(quotes(300)), asyncio.Event()

    async def hesitant() -> AsyncIterator[bytes]:
        yield file[:9000]
        await goes_on.wait()
        yield file[9000:]

    first = asyncio.create_task(post(writing, hesitant(), KEYED))
    await asyncio.to_thread(await_prices, broker, 0)
    second = await post(writing, file, KEYED)
    assert (second.status_code, second.json()) == (202, {"quotes": 300, "interactions": 0})
    goes_on.set()
    assert problem(await first) == (409, "conflict")
    assert prices(broker) == up_to(300)


SETTINGS: Final = {"WRITE_LIMIT": "100000000/second"}


def process(folder: Path, broker: str, **settings: str) -> Server:
    """An API of this test alone, with a generous quota."""
    there = {"KAFKA_BOOTSTRAP_SERVERS": broker, **SETTINGS, **settings}
    return api(free_port(), folder, there)


def generated(count: int, pause: threading.Event | None = None) -> Iterator[bytes]:
    """Yield a file of `count` quotes in pieces; after half of it, wait until `pause` is set."""
    for first in range(0, count, 1000):
        if pause is not None and first >= count // 2:
            pause.wait()
        yield as_ndjson(quotes(min(1000, count - first), first)) + b"\n"


@pytest.mark.kafka_only
@pytest.mark.stack
def test_after_a_kill_in_the_middle_a_retry_with_the_key_counts_each_event_once(
    broker: str, topology: Topology, tmp_path: Path
) -> None:
    count = 60_000
    for published in (5000, 10_000):
        with running(killed := process(tmp_path, broker)) as one:
            goes_on = threading.Event()

            def upload(server: Server = killed, pause: threading.Event = goes_on) -> None:
                with pytest.raises(httpx.HTTPError):
                    httpx.post(
                        server.address + PATH,
                        content=generated(count, pause),
                        headers=KEYED,
                        timeout=PATIENCE_S,
                    )

            uploading = threading.Thread(target=upload)
            uploading.start()
            await_prices(broker, published)
            one.send_signal(signal.SIGKILL)
            goes_on.set()
            uploading.join()
    with running(other := process(tmp_path, broker)):
        assert 0 < len(prices(broker)) < count
        answer = httpx.post(
            other.address + PATH, content=generated(count), headers=KEYED, timeout=PATIENCE_S
        )
        assert (answer.status_code, answer.json()) == (202, {"quotes": count, "interactions": 0})
        assert REPLAYED not in answer.headers
    assert prices(broker) == up_to(count)


@pytest.mark.kafka_only
async def test_what_was_produced_without_a_commit_is_not_in_the_log(
    writing: httpx.AsyncClient,
    broker: str,
    topology: Topology,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a bug, as good as a kill")

    with monkeypatch.context() as patched:
        patched.setattr(Exactly, "_commit", fail)
        assert problem(await post(writing, as_ndjson(quotes(50)), KEYED)) == (500, "internal")
    assert (await post(writing, as_ndjson(quotes(50)), KEYED)).status_code == 202
    assert prices(broker) == up_to(50)


def peak_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


@pytest.mark.slow
@pytest.mark.parametrize("headers", [AS_NDJSON, {**AS_NDJSON, "Idempotency-Key": "long"}])
def test_memory_does_not_grow_with_the_length_of_a_file(
    broker: str, topology: Topology, tmp_path: Path, headers: dict[str, str]
) -> None:
    assert topology
    block = as_ndjson(quotes(1000)) + b"\n"

    def upload(server: Server, size: int) -> None:
        content = (block for _ in range(size // len(block)))
        timeout = httpx.Timeout(PATIENCE_S)
        keyed = {
            name: f"{value}-{size}" if "Key" in name else value for name, value in headers.items()
        }
        answer = httpx.post(server.address + PATH, content=content, headers=keyed, timeout=timeout)
        assert answer.json()["quotes"] == size // len(block) * 1000

    with running(server := process(tmp_path, broker)) as one:
        upload(server, 10_000_000)
        before = peak_bytes(one.pid)
        upload(server, 200_000_000)
        after = peak_bytes(one.pid)
    print(f"peak of 10 MB: {before / 1e6:.0f} MB, of 200 MB: {after / 1e6:.0f} MB")
    assert after < before + 30_000_000


@pytest.mark.parametrize(
    ("code", "calls"), [(KafkaError.NOT_COORDINATOR, 3), (KafkaError.PRODUCER_FENCED, 1)]
)
def test_a_coordinator_that_starts_or_moves_is_waited_for_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, code: int, calls: int
) -> None:
    monkeypatch.setattr(publishing, "_PAUSE_S", 0)
    failures = [KafkaException(KafkaError(code))] * 2
    made: list[float] = []

    def call(within_s: float) -> str:
        made.append(within_s)
        if len(made) <= len(failures):
            raise failures[len(made) - 1]
        return "done"

    with contextlib.suppress(KafkaException):
        assert publishing._patiently(call) == "done"
    assert len(made) == calls


async def test_a_broker_that_is_away_is_named_and_nothing_was_taken(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.imports.publishing.CALL_S", 0.2)
    for headers in (AS_NDJSON, KEYED):
        answer = await post(client, as_ndjson(quotes(5)), headers)
        assert problem(answer) == (503, "log-unavailable")
        assert answer.headers["retry-after"] == "5"


async def test_a_token_endpoint_that_is_away_is_named_in_the_log_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    kafka = KafkaConfig(
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="OAUTHBEARER",
        sasl_username="api",
        sasl_password=SecretStr("secret"),
        sasl_token_url=f"http://127.0.0.1:{free_port()}/token",
    )
    transactions = Transactions(kafka, Metrics())
    with pytest.raises(Problem) as raised:
        async with transactions.of_key("digest"):
            pass
    assert raised.value.kind is LOG_UNAVAILABLE
    assert raised.value.detail == "No token for Kafka: the server's log says why"
    assert (kafka.sasl_token_url or "") in caplog.text


async def test_a_body_that_stalls_is_given_up_in_bounded_time(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "PART_TIMEOUT_S", 0.2)

    async def stalling() -> AsyncIterator[bytes]:
        yield b"\n"
        await asyncio.Event().wait()

    answer = await post(client, stalling())
    assert problem(answer) == (408, "incomplete-body")
    assert answer.headers["connection"] == "close"


@each(
    ("body", "headers", "expected", "reason"),
    [
        (b"", AS_NDJSON, (422, "invalid-events"), "no line has one"),
        (b"x" * (1 << 20), AS_NDJSON, (422, "invalid-events"), "line 1: it has over 1048576 bytes"),
        (b"type\n" + b'"' * (1 << 20), AS_CSV, (422, "invalid-events"), "line 2: "),
        (b"x", {"Content-Type": "text/plain"}, (415, "unsupported-media-type"), "text/csv"),
        (b"x", {**AS_CSV, "Content-Encoding": "br"}, (415, "unsupported-media-type"), "gzip"),
        (b"a," * (1 << 18), AS_CSV, (422, "invalid-events"), "unknown column 'a'"),
        (b"type," * (1 << 17) + b"type", AS_CSV, (422, "invalid-events"), "two columns 'type'"),
        (b"type,", {**AS_CSV, "Content-Encoding": "gzip"}, (422, "invalid-events"), "not gzip"),
        (b"x", {**AS_CSV, "Idempotency-Key": "a b"}, (422, "invalid-request"), "printable"),
    ],
)
async def test_what_cannot_be_read_is_rejected_with_the_reason(
    client: httpx.AsyncClient,
    body: bytes,
    headers: dict[str, str],
    expected: tuple[int, str],
    reason: str,
) -> None:
    answer = await post(client, body, headers)
    assert problem(answer) == expected
    assert reason in answer.json()["detail"]
    assert "application/json" not in answer.json()["title"], "which an import never is"


async def test_imports_are_bounded_and_a_long_one_leaves_writes_their_places(
    serve: Serve, broker: str, topology: Topology, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert topology
    monkeypatch.setattr(bounded, "MAX_IMPORTS", 2)
    monkeypatch.setattr(bounded, "MAX_WRITES", 1)
    begun, ends = asyncio.Semaphore(0), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield as_ndjson(quotes(1)) + b"\n"
        begun.release()
        await ends.wait()

    async with serve(kafka=plain(broker)) as client:
        long = [asyncio.create_task(post(client, slow())) for _ in range(2)]
        for _ in long:
            await begun.acquire()
        refused = await post(client, as_ndjson(quotes(1)))
        assert problem(refused) == (503, "overloaded")
        assert (await client.post("/v1/events", json=QUOTE)).status_code == 202
        ends.set()
        assert {(await each).status_code for each in long} == {202}
        assert (await post(client, as_ndjson(quotes(1)))).status_code == 202


async def test_a_client_has_some_of_the_places_by_its_address_and_by_its_key(
    serve: Serve,
    broker: str,
    topology: Topology,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert topology
    monkeypatch.setattr(
        "api.http.keys.key.client_of", lambda scope: dict(scope["headers"])[b"x-from"].decode()
    )
    begun, ends = asyncio.Semaphore(0), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield as_ndjson(quotes(1)) + b"\n"
        begun.release()
        await ends.wait()

    keys = write_keys(tmp_path / "keys.json", *map(entry, ("shop", "bank", "club")))
    async with serve(kafka=plain(broker), api_keys_file=keys) as client:

        async def sent(address: str, key: str, content: Any) -> httpx.Response:
            return await post(client, content, {**AS_NDJSON, "X-From": address, "X-API-Key": key})

        places = ("192.0.2.1", "shop"), ("192.0.2.2", "shop"), ("192.0.2.1", "bank")
        long = [asyncio.create_task(sent(*place, slow())) for place in places]
        for _ in long:
            await begun.acquire()
        for address, key, name in (
            ("192.0.2.3", "shop", "key shop"),
            ("192.0.2.1", "club", "192.0.2.1"),
        ):
            refused = await sent(address, key, as_ndjson(quotes(1)))
            assert problem(refused) == (503, "overloaded")
            assert refused.json()["detail"] == (
                f"2 imports of {name} are running already: wait until one has ended"
            )
        assert (await sent("192.0.2.3", "club", as_ndjson(quotes(1)))).status_code == 202
        ends.set()
        assert {(await each).status_code for each in long} == {202}
        assert (await sent("192.0.2.1", "shop", as_ndjson(quotes(1)))).status_code == 202


@pytest.mark.kafka_only
async def test_a_writer_has_so_many_imports_with_keys_as_kafka_keeps_each_for_a_week(
    writing: httpx.AsyncClient, topology: Topology, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert topology
    monkeypatch.setattr(quotas, "_KEYED_IMPORTS", parse("2/hour"))
    for n in range(2):
        keyed = {**AS_NDJSON, "Idempotency-Key": f"file-{n}"}
        assert (await post(writing, as_ndjson(quotes(1)), keyed)).status_code == 202
    refused = await post(writing, as_ndjson(quotes(1)), KEYED)
    assert problem(refused) == (429, "rate-limited")
    assert refused.json()["detail"].startswith("At most 2 keyed imports in 3600 s: try again after")
    assert refused.headers["ratelimit"].startswith('"keyed imports";r=0;')
    assert (await post(writing, as_ndjson(quotes(1)))).status_code == 202, "without a key"


async def test_long_lines_cost_as_much_of_the_quota_as_in_other_writes(serve: Serve) -> None:
    blank = b" " * 600_000 + b"\n"
    async with serve(write_limit="1000/hour") as client:
        for content in (blank, gzip.compress(blank)):
            packed = {"Content-Encoding": "gzip"} if content is not blank else {}
            answer = await post(client, content, {**AS_NDJSON, **packed})
        assert problem(answer) == (429, "rate-limited")


def test_an_import_takes_half_of_each_window_and_waits_for_the_next() -> None:
    quota, now_s = WriteQuota(parse("1000/second")), 0.0
    quota._now_s = lambda: now_s
    assert quota.spend_some("a", 700) == (500, 1.0)
    assert quota.spend_some("a", 200) == (0, 1.0)
    assert quota.spend("a", 500).endswith(b"r=0;t=1\r\n")
    now_s = 1.0
    assert quota.spend_some("a", 200) == (200, 0)


async def test_a_quota_of_an_hour_is_not_waited_for(
    serve: Serve, broker: str, topology: Topology
) -> None:
    async with serve(kafka=plain(broker), write_limit="1000/hour") as client:
        taken = await post(client, as_ndjson(quotes(900)))
        assert taken.status_code == 202
        assert taken.headers["ratelimit"].startswith('"events";r=99;')
        answer = await post(client, as_ndjson(quotes(200)))
        assert problem(answer) == (429, "rate-limited")
        assert int(answer.headers["retry-after"]) > MAX_PACE_S
        assert answer.json()["detail"].endswith("None was taken")
    assert prices(broker) == up_to(900)


async def test_a_share_that_others_take_is_not_waited_for_without_end(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "PACE_TIMEOUT_S", 0.0)
    monkeypatch.setattr(quotas, "MAX_PACE_S", 60)
    async with serve(write_limit="1000/minute") as client:
        await client.post("/v1/events", json=quotes(999))
        assert problem(await post(client, as_ndjson(quotes(9)))) == (429, "rate-limited")


def test_a_server_that_stops_ends_an_import_after_a_part(
    broker: str, topology: Topology, tmp_path: Path
) -> None:
    answers: list[httpx.Response] = []
    stops = threading.Event()

    def upload(server: Server) -> None:
        timeout = httpx.Timeout(PATIENCE_S)
        file = generated(60_000, stops)
        answers.append(
            httpx.post(server.address + PATH, content=file, headers=AS_NDJSON, timeout=timeout)
        )

    with running(server := process(tmp_path, broker)) as one:
        uploading = threading.Thread(target=upload, args=(server,))
        uploading.start()
        await_prices(broker, 0)
        one.send_signal(signal.SIGTERM)
        eventually(lambda: not http_answers(f"{server.address}/health/live"), "it stops")
        stops.set()
        uploading.join()
    (answer,) = answers
    assert problem(answer) == (503, "not-ready")
    assert prices(broker) == up_to(answer.json()["acknowledged"])
    assert answer.json()["line"] == answer.json()["acknowledged"]
