"""The rules' file says what it may, and the docstring that shows it is true."""

import re
from pathlib import Path

import pytest

from trainer.experiments import rules as module
from trainer.experiments.rules import CanaryRules, Rule, read_rules
from trainer.settings_file import SettingsFileError


def written(folder: Path, text: str) -> Path:
    path = folder / "canary.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_an_empty_file_has_the_documented_defaults(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs/operations.md").read_text(encoding="utf-8")
    (of_module,), of_page = (
        re.findall(r"```toml\n(.*?)```", text, re.DOTALL) for text in (module.__doc__ or "", page)
    )
    (on_page,) = (text for text in of_page if "share" in text)
    for text in ("", of_module, on_page):
        assert read_rules(written(tmp_path, text)) == CanaryRules()


def test_what_is_written_counts(tmp_path: Path) -> None:
    rules = read_rules(written(tmp_path, "share = 0.2\n[clicks]\nloss_max = 0.5\n"))
    assert rules == CanaryRules(share=0.2, clicks=Rule(loss_max=0.5))


@pytest.mark.parametrize(
    "text",
    [
        None,
        "share = 1.0",
        "shares = 0.1",
        "share =",
        "[clicks]\nusers_least = -1",
        "[clicks]\nshare = 0.1",
        "needs = 1",
    ],
)
def test_rules_that_are_none_name_the_file(tmp_path: Path, text: str | None) -> None:
    with pytest.raises(SettingsFileError, match=r"canary\.toml \(CANARY_RULES\)"):
        read_rules(tmp_path / "canary.toml" if text is None else written(tmp_path, text))
