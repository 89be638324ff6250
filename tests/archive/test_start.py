"""How the archive starts while what it needs is away."""

import itertools
import threading
from unittest.mock import Mock

import pytest

from archive import __main__ as program
from archive import service as states
from archive.service import STALLED_AFTER_S, State
from archive.settings import ArchiveSettings


def test_an_archive_without_a_catalog_at_start_waits_and_is_not_stalled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Or Kubernetes would start it again and again, and the log would not say for what it waits."""
    seconds = itertools.count(step=0.6 * STALLED_AFTER_S)
    monkeypatch.setattr(states, "time", Mock(monotonic=seconds.__next__))
    monkeypatch.setattr(threading.Event, "wait", lambda *_: False)
    state, is_healthy = State(), []

    def opened(_: ArchiveSettings) -> str:
        is_healthy.append(not state.is_stalled)
        if len(is_healthy) < 4:
            raise ConnectionError("away")
        return "the catalog"

    monkeypatch.setattr(program, "_opened", opened)

    assert program.opened_patiently(ArchiveSettings(), state, threading.Event()) == "the catalog"
    assert is_healthy == [True] * 4
    assert state.waits_for is None
