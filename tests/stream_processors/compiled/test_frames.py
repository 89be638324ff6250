"""Compiled code reads batches as aiokafka's parser does, and reads nothing outside of them."""

from typing import Any

import pytest
from aiokafka.record._crecords import DefaultRecordBatch
from aiokafka.record._crecords import DefaultRecordBatchBuilder as Builder
from hypothesis import given
from hypothesis import strategies as st

from stream_processors.compiled import CODE
from stream_processors.records import Packed, Records
from stream_processors.transport import contents, salvage
from stream_processors.transport.contents import Contents, read

pytestmark = pytest.mark.usefixtures("compiled_code")

T0_MS = 1_700_000_000_000
HEADER_BYTES = 61
LAST_DELTA_AT, COUNT_AT = 23, 57

some_bytes = st.one_of(st.none(), st.binary(max_size=20), st.binary(min_size=100, max_size=200))
headers = st.lists(st.tuples(st.text(max_size=5), some_bytes), max_size=3)
records = st.lists(
    st.tuples(st.integers(1, 300), st.integers(-1000, 2**40), some_bytes, some_bytes, headers),
    min_size=1,
    max_size=12,
)


def written(given_: list[Any], compression: int = 0) -> bytes:
    """Return a batch, as aiokafka's producer writes it, of records with gaps between them."""
    builder = Builder(2, compression, 0, -1, -1, -1, 1 << 24)
    offset = -1
    for step, later_ms, key, value, its_headers in given_:
        offset += step
        builder.append(offset, T0_MS + later_ms, key, value, its_headers)
    return bytes(builder.build())


def flat(found: Records) -> list[Any]:
    columns = found.columns
    stamps = zip(columns.timestamp.tolist(), columns.is_appended.tolist(), strict=True)
    return [(*record, *stamp) for record, stamp in zip(found, stamps, strict=True)]


def as_parsed(found: list[Any]) -> list[Any]:
    return [
        (r.offset, r.key, r.value, tuple(r.headers), r.timestamp, r.timestamp_type) for r in found
    ]


def packed(raw: bytes) -> Packed | None:
    return contents._packed(DefaultRecordBatch(raw), memoryview(raw))


@given(batches=st.lists(records, min_size=1, max_size=3), compression=st.integers(0, 4))
def test_batches_are_read_as_aiokafka_parses_them(batches: list[Any], compression: int) -> None:
    raws = [written(one, compression) for one in batches]
    found, unreadable = read(
        [Contents(DefaultRecordBatch(raw), memoryview(raw)) for raw in raws], 0
    )
    assert flat(found) == as_parsed([r for raw in raws for r in DefaultRecordBatch(raw)])
    assert not unreadable


@given(given_=records, compression=st.sampled_from([0, 4]))
def test_usual_batches_need_no_parser(given_: list[Any], compression: int) -> None:
    is_ascii = all(name.isascii() for *_, its in given_ for name, _ in its)
    one = packed(written(given_, compression))
    assert one is not None
    assert (CODE.records_of([one]) is not None) == is_ascii


@given(
    given_=records,
    changes=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=4),
    cut=st.integers(0, 30),
    more=st.binary(max_size=9),
)
def test_a_batch_that_lies_is_read_as_one_by_one_or_left_to_that(
    given_: list[Any], changes: list[tuple[int, int]], cut: int, more: bytes
) -> None:
    raw = bytearray(written(given_))
    fields = [*range(LAST_DELTA_AT, LAST_DELTA_AT + 4), *range(COUNT_AT, COUNT_AT + 4)]
    places = [*fields, *range(HEADER_BYTES, len(raw))]
    for at, byte in changes:
        raw[places[at % len(places)]] = byte
    data = bytes(raw[: max(HEADER_BYTES, len(raw) - cut)]) + more
    one = packed(data)
    found = None if one is None else CODE.records_of([one])
    if found is None:
        return
    good, bad = salvage.records_of(data)
    assert flat(found) == as_parsed(good)
    assert not bad


@pytest.mark.parametrize("compression", range(5))
@pytest.mark.parametrize("n", [1, 10_000])
def test_a_batch_of_any_size_and_codec_is_read(n: int, compression: int) -> None:
    raw = written([(1, 0, b"k", b"%d" % place, [("h", b"1")]) for place in range(n)], compression)
    one = packed(raw)
    assert one is not None
    found = CODE.records_of([one])
    assert found.columns.offset.tolist() == list(range(n))
    assert found.values.listed() == [b"%d" % place for place in range(n)]
    assert found[n - 1].headers == (("h", b"1"),)


def test_brokers_timestamps_are_those_of_the_batch() -> None:
    raw = bytearray(written([(1, 0, None, b"a", []), (1, 5, None, b"b", [])]))
    raw[22] |= 8
    columns = read([Contents(DefaultRecordBatch(bytes(raw)), memoryview(bytes(raw)))], 0)[0].columns
    assert columns.timestamp.tolist() == [T0_MS + 5] * 2
    assert columns.is_appended.tolist() == [1, 1]


def test_an_unusual_batch_among_usual_ones_changes_none_of_them() -> None:
    usual = written([(1, 0, b"k", b"a", [("h", b"1")])])
    unusual = written([(1, 0, None, b"b", [("häder", None)])])
    batches = [
        Contents(DefaultRecordBatch(raw), memoryview(raw)) for raw in (usual, unusual, usual)
    ]
    found, _ = read(batches, 0)
    assert [(r.value, r.headers) for r in found] == [
        (b"a", (("h", b"1"),)),
        (b"b", (("häder", None),)),
        (b"a", (("h", b"1"),)),
    ]


def test_without_numba_aiokafka_parses_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CODE, "records_of", None)
    raw = written([(1, 0, b"k", b"a", []), (3, 0, None, None, [("h", None)])], compression=4)
    found, _ = read([Contents(DefaultRecordBatch(raw), memoryview(raw))], 0)
    assert flat(found) == as_parsed(list(DefaultRecordBatch(raw)))
