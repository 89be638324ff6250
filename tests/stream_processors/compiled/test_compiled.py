"""Where compiled code comes from, and what is done without it."""

import os
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from stream_processors import compiled
from stream_processors.compiled import Code, frames


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
