"""Unknown fields are counted, and logged once each, up to a bound."""

import structlog
from prometheus_client import REGISTRY

from stream_processors.decoding.intake import NAMES_MOST, Intake


def counted(topic: str) -> float:
    return REGISTRY.get_sample_value("records_with_unknown_fields_total", {"topic": topic}) or 0


def test_records_are_counted_and_a_name_is_logged_once() -> None:
    intake = Intake()
    before = counted("quotes")
    with structlog.testing.capture_logs() as logs:
        intake.note("quotes", {})
        for _ in range(3):
            intake.note("quotes", {"qty": 5})
        intake.note("quotes", {"qty": 1, "type": 2})
        intake.note("interactions", {"qty": 1})
    assert counted("quotes") == before + 18
    named = [(entry["topic"], entry["fields"]) for entry in logs]
    assert named == [("quotes", ["qty"]), ("quotes", ["type"]), ("interactions", ["qty"])]
    assert all("UNKNOWN_FIELDS=refuse" in entry["event"] for entry in logs)


def test_a_feed_with_generated_names_fills_neither_log_nor_memory() -> None:
    intake = Intake()
    with structlog.testing.capture_logs() as logs:
        for n in range(1_000):
            intake.note("quotes", {f"field {n}": 1})
    assert len(logs) == NAMES_MOST
