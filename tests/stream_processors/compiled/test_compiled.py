"""Where compiled code comes from, and what is done without it."""

import os
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from contracts.messages import Quote, encode
from stream_processors import compiled
from stream_processors.compiled import CODE, Code, frames
from stream_processors.decoding.intake import Intake
from stream_processors.decoding.placement import Placement
from stream_processors.decoding.quotes import decode
from tests.stream_processors.records import batch_of

QUOTE = Quote(instrument_id=4, price=30.72, size=100, ts=1_629_061_628_123)


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


def test_quotes_are_the_same_without_compiled_code(
    compiled_code: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = [(0, encode(QUOTE)), (1, None), (2, b"{"), (3, b'{"ts":1}'), (5, encode(QUOTE))]
    batch = batch_of("quotes", 0, values)
    with_it, its_rejections = decode(batch, Placement(1), Intake())
    monkeypatch.setattr(CODE, "ordinary_quotes", None)
    without, rejections = decode(batch, Placement(1), Intake())
    assert with_it.offsets.tolist() == without.offsets.tolist() == [0, 5]
    assert with_it.columns.price.tolist() == without.columns.price.tolist()
    assert its_rejections == rejections
    assert [place for place, _ in rejections] == [1, 2, 3]


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
