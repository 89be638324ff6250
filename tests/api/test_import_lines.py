"""The lines of files of events, NDJSON and CSV, cut into parts wherever these end."""

import codecs
import csv
import gzip
import io
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.events.parsing import MAX_REPORTED, InvalidEventsError, Message
from api.imports.lines import CSV, NDJSON, STEP, Lines
from api.imports.parts import Cutter, Gunzip, LineTooLongError
from contracts.messages import Interaction, Quote
from tests.contracts.test_messages import user_ids

from .conftest import NOW_MS
from .test_writing import QUOTE, TRADE

COLUMNS = ["user_id", "event", "type", "instrument_id", "price", "size", "quantity", "ts"]


def parsed(body: bytes, media_type: str, most: int = 1 << 20, chunk: int = 7) -> list[Message]:
    """Return the messages of a body that arrives in chunks, in parts of at most `most` bytes."""
    lines, cutter = Lines(media_type), Cutter(has_quotes=media_type == CSV, most=most)
    parts = [
        part for at in range(0, len(body), chunk) for part in cutter.take(body[at : at + chunk])
    ]
    found = []
    for part in filter(None, [*parts, cutter.rest()]):
        for some in lines.take(part, NOW_MS):
            found += some
    lines.check()
    return found


def refused(body: bytes, media_type: str = CSV) -> InvalidEventsError:
    with pytest.raises(InvalidEventsError) as raised:
        parsed(body, media_type)
    return raised.value


def as_csv(events: list[dict[str, Any]], end: str = "\r\n") -> bytes:
    text = io.StringIO()
    # Else "\r" is only quoted if it is part of a line's end.
    writer = csv.DictWriter(text, COLUMNS, lineterminator=end, quoting=csv.QUOTE_NONNUMERIC)
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
    user_id=user_ids | st.sampled_from(['a\nb"c', '"', 'x""\r\ny,z']),
    instrument_id=st.integers(0, 2**63 - 1),
    event=st.sampled_from(["view", "hide", "trade"]),
    quantity=st.none() | st.floats(0.1, 1e12),
    ts=st.integers(0, NOW_MS),
)


@given(
    st.lists(messages, min_size=1, max_size=6),
    st.sampled_from(["\n", "\r\n", "\n\n"]),
    st.sampled_from([b"", codecs.BOM_UTF8]),
    st.integers(1, 2000),
    st.sampled_from([1200, 1500, 1 << 20]),
)
def test_both_forms_are_read_as_they_were_written_wherever_parts_end(
    sent: list[Message], end: str, bom: bytes, chunk: int, most: int
) -> None:
    events = [
        {
            "type": "quote" if isinstance(one, Quote) else "interaction",
            **{k: v for k, v in msgspec.to_builtins(one).items() if v is not None},
        }
        for one in sent
    ]
    assert parsed(bom + as_ndjson(events, end), NDJSON[0], most, chunk) == sent
    assert parsed(bom + as_csv(events, end), CSV, most, chunk) == sent


def test_each_error_names_its_line() -> None:
    lines = [json.dumps(QUOTE), "", json.dumps({**QUOTE, "price": -1}), "{", json.dumps(TRADE)]
    error = refused("\n".join(lines).encode(), NDJSON[0])
    assert [(e.index, e.line, e.field) for e in error.errors] == [(1, 3, "price"), (2, 4, None)]
    assert str(error).startswith("2 of 4 events invalid; the first is in line 3: Expected")
    three_lines = as_csv([{**TRADE, "user_id": "a\nb"}, {**QUOTE, "ts": "soon"}])
    (found,) = refused(three_lines).errors
    assert (found.index, found.line, found.field) == (1, 4, "ts")


def test_errors_of_all_parts_are_counted_and_the_first_are_listed() -> None:
    events = [{**QUOTE, "price": -1} if i % 2 else QUOTE for i in range(100)]
    for body, media_type, first in ((as_ndjson(events), NDJSON[0], 2), (as_csv(events), CSV, 3)):
        with pytest.raises(InvalidEventsError, match="50 of 100 events invalid") as raised:
            parsed(body, media_type, most=500)
        assert [e.line for e in raised.value.errors] == [first + 2 * n for n in range(MAX_REPORTED)]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "1 event at least is needed"),
        (
            b"\n",
            "line 1: no column 'type': the first line names the columns, of type, instrument_id",
        ),
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


def test_other_requests_run_in_between_even_if_no_line_has_an_event() -> None:
    for media_type, blank in ((NDJSON[0], b"\n"), (CSV, b",\n")):
        steps = list(Lines(media_type).take(b"type,ts\n" + blank * 5 * STEP, NOW_MS))
        assert len(steps) > 5, media_type


@pytest.mark.parametrize(
    ("body", "media_type"), [(b"x" * 99, "ndjson"), (b'"' + b"x\n" * 50, CSV), (b"x" * 99, CSV)]
)
def test_a_line_longer_than_a_part_is_rejected(body: bytes, media_type: str) -> None:
    with pytest.raises(LineTooLongError, match="over 64 bytes, or a quote in it does not end"):
        list(Cutter(has_quotes=media_type == CSV, most=64).take(body))


def inflated(data: bytes, chunk: int) -> bytes:
    gunzip = Gunzip()
    pieces = [p for at in range(0, len(data), chunk) for p in gunzip.take(data[at : at + chunk])]
    gunzip.end()
    return b"".join(pieces)


@given(st.lists(st.binary(max_size=2000), max_size=3), st.integers(1, 4000))
def test_gzip_of_several_members_is_read_however_it_arrives(some: list[bytes], chunk: int) -> None:
    assert inflated(b"".join(map(gzip.compress, some)), chunk) == b"".join(some)


def test_a_compressed_body_is_inflated_in_bounded_pieces() -> None:
    pieces = list(Gunzip().take(gzip.compress(bytes(50_000_000))))
    assert sum(map(len, pieces)) == 50_000_000
    assert max(map(len, pieces)) <= 256 * 1024


def test_what_is_not_gzip_or_ends_too_early_is_rejected() -> None:
    with pytest.raises(ValueError, match="not gzip"):
        inflated(b"type,price\n", 100)
    with pytest.raises(ValueError, match="ends too early"):
        inflated(gzip.compress(b"abc" * 1000)[:-9], 100)
