"""Changing the catalog over HTTP: by way of its topic, and only by the contracts' rules."""

from typing import Any

import httpx

from contracts.instruments import Instrument, decode_instrument_record
from contracts.partitioning import instrument_partition
from contracts.topics import INSTRUMENTS
from runtime.topology import Topology

from .problems import problem
from .test_writing import read_back

APPLE: dict[str, Any] = {
    "symbol": "AAPL",
    "name": "Apple Inc.",
    "categories": ["tech"],
    "listed": False,
    "attributes": {"lot": 1, "currency": "USD"},
}


async def test_what_is_accepted_stands_in_the_log_under_its_instrument(
    writing: httpx.AsyncClient, broker: str, topology: Topology
) -> None:
    ids = (4, 5, 2**63 - 1)
    for i in ids:
        answer = await writing.put(f"/v1/instruments/{i}", json=APPLE)
        assert (answer.status_code, answer.json()) == (202, {"instrument_id": i})
    del writing.headers["Content-Type"]  # there is no body to tell of
    answer = await writing.delete("/v1/instruments/4")
    assert (answer.status_code, answer.json()) == (202, {"instrument_id": 4})

    found = read_back(broker, INSTRUMENTS.name, topology.instruments, 4)
    decoded = [decode_instrument_record(record.key, record.value) for record in found]
    described = [Instrument(instrument_id=i, **{**APPLE, "categories": ("tech",)}) for i in ids]
    expected = [*zip(ids, described, strict=True), (4, None)]
    assert sorted(decoded, key=str) == sorted(expected, key=str)
    for record, (i, _) in zip(found, decoded, strict=True):
        assert record.partition == instrument_partition(i, topology.instruments)


async def test_many_instruments_stand_in_the_log_or_none_does(
    writing: httpx.AsyncClient, broker: str, topology: Topology
) -> None:
    many = [{**APPLE, "instrument_id": i, "symbol": f"S.{i}"} for i in range(1000)]
    for broken, reason, field in (
        ({**many[7], "name": ""}, "name: must be text of at least 1 character", "name"),
        ({**many[7], "ticker": "A"}, "ticker: unknown field, known: ", "ticker"),
        ({**many[7], "attributes": {"a": "x" * 9000}}, "bytes", None),
        (many[0], "instrument_id 0 appears twice", "instrument_id"),
    ):
        answer = await writing.put("/v1/instruments", json=[*many[:7], broken, *many[8:]])
        assert problem(answer) == (422, "invalid-events")
        (error,) = answer.json()["errors"]
        assert (error["index"], error.get("field")) == (7, field)
        assert reason in error["reason"]
    assert problem(await writing.put("/v1/instruments", json=[*many, APPLE]))[0] == 422
    answer = await writing.put("/v1/instruments", json=many)
    assert (answer.status_code, answer.json()) == (202, {"instruments": 1000})
    found = read_back(broker, INSTRUMENTS.name, topology.instruments, 1000)
    decoded = dict(decode_instrument_record(record.key, record.value) for record in found)
    entry = {**many[7], "categories": ("tech",)}
    assert (decoded.keys(), decoded[7]) == (set(range(1000)), Instrument(**entry))
