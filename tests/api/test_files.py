"""Files of events: NDJSON and CSV, all of their lines or none."""

import csv
import io
import json
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.events import lines as files
from api.events.lines import CSV, NDJSON, Lines, lines_of
from api.events.parsing import InvalidEventsError, Message
from api.http.bodies import MAX_LINES
from contracts.messages import Interaction, Quote
from contracts.topics import INTERACTIONS, QUOTES
from runtime.topology import Topology
from tests.contracts.test_messages import user_ids

from .conftest import NOW_MS, Serve
from .problems import problem
from .test_writing import QUOTE, TRADE, read_back

COLUMNS = ["user_id", "event", "type", "instrument_id", "price", "size", "quantity", "ts"]
AS_NDJSON = {"Content-Type": NDJSON[0]}
AS_CSV = {"Content-Type": f"{CSV}; charset=utf-8"}


def parsed(body: bytes, media_type: str) -> list[Message]:
    found = Lines(NOW_MS)
    found.take([*lines_of(body, media_type)])
    return found.messages()


def refused(body: bytes, media_type: str = CSV) -> InvalidEventsError:
    with pytest.raises(InvalidEventsError) as raised:
        parsed(body, media_type)
    return raised.value


def as_csv(events: list[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows(events)
    return text.getvalue().encode()


def as_ndjson(events: list[dict[str, Any]], end: str = "\n") -> bytes:
    return end.join(map(json.dumps, events)).encode()


messages = st.builds(
    Quote,
    instrument_id=st.integers(0, 2**63 - 1),
    price=st.floats(1e-18, 1e18),
    ts=st.integers(0, NOW_MS),
) | st.builds(
    Interaction,
    user_id=user_ids,
    instrument_id=st.integers(0, 2**63 - 1),
    event=st.sampled_from(["view", "hide", "trade"]),
    quantity=st.none() | st.floats(0.1, 1e12),
    ts=st.integers(0, NOW_MS),
)


@given(st.lists(messages, min_size=1, max_size=4), st.sampled_from(["\n", "\r\n", "\n\n"]))
def test_both_forms_are_read_as_they_were_written(sent: list[Message], end: str) -> None:
    events = [
        {
            "type": "quote" if isinstance(one, Quote) else "interaction",
            **{k: v for k, v in msgspec.to_builtins(one).items() if v is not None},
        }
        for one in sent
    ]
    assert parsed(as_ndjson(events, end), NDJSON[0]) == sent
    assert parsed(as_csv(events), CSV) == sent


def test_each_error_names_its_line() -> None:
    lines = [json.dumps(QUOTE), "", json.dumps({**QUOTE, "price": -1}), "{", json.dumps(TRADE)]
    error = refused("\n".join(lines).encode(), NDJSON[0])
    assert [(e.index, e.line, e.field) for e in error.errors] == [(1, 3, "price"), (2, 4, None)]
    assert str(error).startswith("2 of 4 events break a rule, so none was taken; the first is in ")
    assert "line 3: Expected `float` >= 1e-18" in str(error)
    three_lines = as_csv([{**TRADE, "user_id": "a\nb"}, {**QUOTE, "ts": "soon"}])
    (found,) = refused(three_lines).errors
    assert (found.index, found.line, found.field) == (1, 4, "ts")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "line 1: no column 'type': the first line names the columns, of type, instrument_id"),
        (b"type,prize\n", "line 1: unknown column 'prize'"),
        (b"type,price,price\n", "line 1: two columns 'price'"),
        (b"type,price\nquote,1,2\n", "line 2: 3 cells, but the header has 2"),
        (b'type,price\nquote,"1\n', "line 2: it is not CSV"),
        (b"type\nquote\n\xff\n", "line 3: it is not UTF-8"),
        (b"type,price\n", "1 event at least is needed"),
        (b"type,price\n,1\n", "line 2: Invalid value '' - at `$.type`"),
        (b"type,ts\ntrade,1\n", "line 2: Invalid value 'trade' - at `$.type`"),
    ],
)
def test_what_is_no_file_of_events_is_rejected_with_the_reason(body: bytes, reason: str) -> None:
    assert reason in str(refused(body))


def test_a_file_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_LINES", 3)
    assert len(parsed(as_ndjson([QUOTE] * 3), NDJSON[0])) == 3
    assert "line 4 has one more" in str(refused(as_ndjson([QUOTE] * 4), NDJSON[0]))


async def test_a_file_stands_in_the_log_as_a_whole_or_not_at_all(
    writing: httpx.AsyncClient, broker: str, topology: Topology
) -> None:
    events = [{**QUOTE, "instrument_id": i} for i in range(2000)] + [TRADE] * 8
    for content, headers in (
        (as_ndjson([*events, {**QUOTE, "size": -1}]), AS_NDJSON),
        (as_csv([*events, {**QUOTE, "size": -1}]), AS_CSV),
    ):
        bad = await writing.post("/v1/events", content=content, headers=headers)
        assert problem(bad) == (422, "invalid-events")
        (error,) = bad.json()["errors"]
        assert (error["index"], error["field"]) == (2008, "size")
        assert error["line"] == (2009 if headers is AS_NDJSON else 2010)
    for content, headers in ((as_ndjson(events), AS_NDJSON), (as_csv(events), AS_CSV)):
        answer = await writing.post("/v1/events", content=content, headers=headers)
        assert (answer.status_code, answer.json()) == (202, {"quotes": 2000, "interactions": 8})
    read_back(broker, QUOTES.name, topology.quotes, 4000)
    read_back(broker, INTERACTIONS.name, topology.interactions, 16)


async def test_another_type_of_body_is_rejected_with_those_that_are_accepted(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.post("/v1/events", content=b"a", headers={"Content-Type": "text/plain"})
    assert problem(answer) == (415, "unsupported-media-type")
    assert "application/json, application/x-ndjson" in answer.json()["detail"]
    answer = await client.post("/v1/feedback", content=b"{}", headers=AS_NDJSON)
    assert problem(answer) == (415, "unsupported-media-type")


async def test_a_file_costs_its_lines_and_one_over_the_quota_never_passes(serve: Serve) -> None:
    async with serve(write_limit="1000/hour") as client:
        answer = await client.post("/v1/events", content=b"{}\n" * 1999, headers=AS_NDJSON)
        assert problem(answer) == (429, "rate-limited")
        assert "send fewer at once" in answer.json()["detail"]
        answer = await client.post("/v1/events", content=b"{}\n" * 499, headers=AS_NDJSON)
        assert problem(answer) == (422, "invalid-events")
        assert answer.headers["ratelimit"].startswith('"events";r=499;')
    assert MAX_LINES > 1000
