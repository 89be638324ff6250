"""Parsing quotes to columns agrees with msgspec on every value; where its code comes from."""

import json
import math
import os
import sys
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from contracts.batches import Spans, decode_quotes, decode_quotes_with
from contracts.input_rules import ANY, InputRules
from contracts.messages import MAX_AHEAD_MS, Quote, encode
from stream_processors import compiled
from stream_processors.compiled import CODE, Code, frames
from tests.contracts.test_messages import OPTIONAL, quotes

pytestmark = pytest.mark.usefixtures("compiled_code")

NOW_MS = 1_700_000_000_000

digits = st.text("0123456789", min_size=1, max_size=25)
numbers = st.one_of(
    st.integers(-(2**65), 2**65).map(str),
    st.floats().map(repr),
    st.floats(allow_nan=False, allow_infinity=False).map(json.dumps),
    digits,
    st.builds("{}.{}".format, digits, digits),
    st.builds("{}{}".format, digits, st.sampled_from(["e5", "E-7", "e+2", ".", ".0", ".e1", "-"])),
    st.sampled_from(["", "-0", "0", "00", "01", "0.0", ".5", "5.", "1..2", "+1", "1_0", "NaN"]),
    st.sampled_from([str(2**53 + 1), "5e-324", "1e-18", "9e-19", "1e18", "2.5e18", "1e400"]),
    st.sampled_from(["null", "true", '"7"', "[]", "{}", "\\u0031", "٣", "1\u00a0"]),
)
names = st.one_of(
    st.sampled_from(Quote.__struct_fields__),
    st.sampled_from(["ts ", "pric", "prices", "Ts", "\\u0074s", "", "venue", "instrument_id\\"]),
)
spaces = st.sampled_from(["", "", "", " ", "  ", "\t", "\n", "\r\n", "\ufeff"])


@st.composite
def written(draw: st.DrawFn) -> bytes:
    """Return a value near a quote: fields in any order, some twice, unknown or missing."""
    known = {
        "instrument_id": st.integers(0, 99).map(str),
        "price": st.floats(0.5, 300).map(lambda x: f"{x:.2f}"),
        "ts": st.integers(NOW_MS - 10**6, NOW_MS + 10**6).map(str),
        **dict.fromkeys(OPTIONAL, st.integers(0, 999).map(str)),
    }
    given_ = [(name, draw(st.one_of(number, number, numbers))) for name, number in known.items()]
    extra = draw(st.lists(st.tuples(names, numbers), max_size=1))
    pairs = draw(st.permutations([*given_, *extra]))
    pairs = pairs[: draw(st.integers(2, len(pairs)))] if draw(st.integers(0, 3)) == 0 else pairs
    space = draw(spaces)
    inner = f",{space}".join(f'"{name}":{draw(spaces)}{number}' for name, number in pairs)
    text = f"{draw(spaces)}{{{inner}}}{draw(spaces)}".encode()
    cut = draw(st.integers(0, 2 * len(text)))
    return text[:cut] if cut < len(text) and draw(st.booleans()) else text


def both_ways(values: list[bytes | None], rules: InputRules = ANY) -> None:
    clock_ms = np.full(len(values), NOW_MS)
    columns, rejections = decode_quotes_with(
        CODE.ordinary_quotes, Spans.of(values), clock_ms, rules
    )
    judged, reasons = decode_quotes(values, NOW_MS, rules)
    assert rejections == reasons
    assert columns.unknown_fields == judged.unknown_fields
    assert columns.index.tolist() == judged.index.tolist()
    for name, ours in columns.columns.items():
        msgspecs = judged.columns[name]
        assert ours.dtype == msgspecs.dtype
        assert ours.tobytes() == msgspecs.tobytes(), name


@given(st.lists(st.one_of(written(), st.none(), st.binary(max_size=80)), max_size=8))
@example([b'{"instrument_id":1,"price":0,"ts":5}'])
@example([b'{"instrument_id":1,"price":1,"ts":%d}' % (NOW_MS + MAX_AHEAD_MS + 1)])
@example([b'{"instrument_id":1,"price":1e-19,"ts":5}', b'{"ts":5,"price":2,"instrument_id":1}'])
@example([b"", None, b"{", b"{}", b'{"ts":', b'{"ts":5', b'{"ts":5,', b'{"ts":5, '])
def test_both_ways_agree_on_every_value(values: list[bytes | None]) -> None:
    both_ways(values)
    both_ways(values, InputRules(NOW_MS - 10**5, refuses_unknown_fields=True))


@given(quotes)
def test_both_ways_agree_on_every_quote(quote: Quote) -> None:
    both_ways([encode(quote)])
    both_ways([json.dumps(json.loads(encode(quote))).encode()])


@given(st.integers(0, 10**15 - 1), st.integers(0, 15))
def test_a_price_of_15_digits_has_msgspecs_bits(mantissa: int, places: int) -> None:
    text = f"{mantissa:0{places + 1}d}"
    price = f"{text[: len(text) - places]}.{text[len(text) - places :]}" if places else text
    value = b'{"instrument_id":1,"price":%s,"ts":5}' % price.encode()
    both_ways([value])
    found, is_ordinary = CODE.ordinary_quotes(Spans.of([value]))
    if mantissa and len(text) <= 15:
        assert is_ordinary[0]
        assert math.isclose(found.columns["price"][0], float(price), rel_tol=0, abs_tol=0)


def test_quotes_as_we_and_others_write_them_are_ordinary() -> None:
    quote = {"instrument_id": 4, "price": 30.72, "ts": 1_629_061_628_123}
    quote |= dict.fromkeys(OPTIONAL, 100)
    orders = [dict(order) for order in permutations(quote.items())]
    values = [
        *(json.dumps(one).encode() for one in orders),
        *(json.dumps(one, separators=(",", ":")).encode() for one in orders),
        encode(Quote(**quote)),
        b'{"instrument_id":4,"price":30.72,"ts":1629061628123}',
    ]
    found, is_ordinary = CODE.ordinary_quotes(Spans.of(values))
    assert is_ordinary.all()
    assert set(found.columns["price"]) == {30.72}
    for name in OPTIONAL:
        assert found.columns[name].tolist() == [100.0] * (len(values) - 1) + [0.0]


def test_nothing_outside_a_value_is_read() -> None:
    """A value that is cut is not completed by the bytes behind it."""
    whole = b'{"instrument_id":4,"price":30.72,"size":100,"ts":1629061628123}'
    n = len(whole)
    cut = Spans(whole, np.zeros(n, np.int64), np.arange(n))
    assert not CODE.ordinary_quotes(cut)[1].any()
    late = Spans(whole, np.arange(1, n), n - np.arange(1, n))
    assert not CODE.ordinary_quotes(late)[1].any()


def test_without_numba_the_start_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("compiled_frames", "quotes"):
        monkeypatch.delitem(sys.modules, f"stream_processors.compiled.{name}", raising=False)
        monkeypatch.delattr(compiled, name, raising=False)
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delitem(sys.modules, "stream_processors.compiled.numba_types", raising=False)
    code = Code()
    with capture_logs() as logs:
        code.load()
    assert code.ordinary_quotes is None
    assert code.read_frames is frames.interpreted
    (line,) = logs
    assert line["log_level"] == "warning"
    assert "numba cannot be loaded" in line["event"]
    assert "numba" in line["error"]


def test_code_of_an_image_is_copied_to_where_numba_may_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_image = tmp_path / "numba"
    of_image.mkdir()
    (of_image / "code.nbi").write_bytes(b"1")
    monkeypatch.setattr(compiled, "_OF_IMAGE", of_image)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    compiled._configure()
    copy = Path(os.environ["NUMBA_CACHE_DIR"])
    assert copy != of_image
    assert (copy / "code.nbi").read_bytes() == b"1"
    monkeypatch.delenv("NUMBA_CACHE_DIR")
