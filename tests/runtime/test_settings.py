import pytest
from pydantic import ValidationError

from runtime.settings import SharedSettings


def test_settings_come_from_environment_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://elsewhere:1/0")
    monkeypatch.setenv("NAMESPACE", "demo.1_a-b")
    settings = SharedSettings()
    assert (settings.redis_url, settings.namespace) == ("redis://elsewhere:1/0", "demo.1_a-b")


@pytest.mark.parametrize("name", ["", "a b", "a{b}", "a:b", "ä"])
def test_a_namespace_that_would_spoil_the_keys_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("NAMESPACE", name)
    with pytest.raises(ValidationError, match="namespace"):
        SharedSettings()


def test_an_unknown_log_level_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_LEVEL", "LOUD")
    with pytest.raises(ValidationError, match="log_level"):
        SharedSettings()


def test_settings_do_not_change_while_a_program_runs() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        SharedSettings().namespace = "other"  # type: ignore[misc]
