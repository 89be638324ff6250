"""An engine that cannot run here says what is missing."""

from pathlib import Path

import pytest

from benchmarks.harness.contender import ContenderError
from benchmarks.peers.engines import Engine, program


def test_flink_reports_a_missing_jdk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ContenderError, match="no javac on PATH: install a JDK of 17 or newer"):
        program(Engine.FLINK, tmp_path)
