"""README's table of settings, the settings classes and the matrix tell of the same settings."""

import re
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

import pytest
from pydantic.fields import FieldInfo

from tests.settings.matrix import MATRIX, ORDINARY, STACKS
from tests.settings.rows import OF_ARCHIVE, SETTINGS, Program
from trainer.settings_file import flat_fields

README: Final = Path(__file__).parents[2] / "README.md"
NAMES_OF: Final[dict[str, tuple[Program, ...]]] = {
    "all": tuple(SETTINGS),
    "workers": ("workers",),
    "trainer": ("trainer",),
    "api": ("api",),
    "producers": ("producers",),
}
OF_CLASSES: Final = sorted(
    (program, name.upper())
    for program, of in SETTINGS.items()
    for name in flat_fields(of)
    if not name.startswith(OF_ARCHIVE)
)


def documented() -> dict[tuple[Program, str], str]:
    """Return the default of each setting in README's table, by program and name."""
    section = README.read_text(encoding="utf-8").split("\n## Settings\n")[1].split("\n## ")[0]
    lines = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| `")]
    return {
        (program, name): default
        for names, defaults, of in lines
        for program, name, default in _settings(names, defaults, of)
    }


def _settings(names: str, defaults: str, of: str) -> list[tuple[Program, str, str]]:
    """Return program, name and default of each setting in a line of the table."""
    every = re.findall(r"`(\w+)`", names)
    values = [value.strip().strip("`") for value in defaults.split(", ")]
    programs = [p for who in of.split(";")[0].split(",") for p in NAMES_OF[who.strip()]]
    if len(every) == 1 and len(values) == len(programs) > 1:
        # `METRICS_PORT` | 9101, 9102 | workers, trainer
        return [(p, every[0], value) for p, value in zip(programs, values, strict=True)]
    return [
        (program, name, value)
        for name, value in zip(every, values * (len(every) if len(values) == 1 else 1), strict=True)
        for program in programs
    ]


def field(program: Program, name: str) -> FieldInfo:
    return flat_fields(SETTINGS[program])[name.lower()]


def values_in_matrix(program: Program, name: str) -> list[Any]:
    return [r.value for r in MATRIX if r.setting == name and program in r.programs]


def test_each_setting_of_a_program_is_in_readmes_table_and_no_other_is() -> None:
    assert sorted(documented()) == OF_CLASSES


@pytest.mark.parametrize(("program", "name"), OF_CLASSES)
def test_a_default_in_readme_is_that_of_the_program(program: Program, name: str) -> None:
    default = field(program, name).default
    shown = documented()[program, name].replace(",", "")
    if default in (None, "", frozenset()):
        assert shown == "none"
    elif isinstance(default, int | float):
        assert float(shown) == default
    else:
        limits = {"10000 per 1 second": "10000/second"}
        assert shown == limits.get(str(default), str(default))


@pytest.mark.parametrize(("program", "name"), OF_CLASSES)
def test_a_setting_has_rows_of_its_default_and_of_another_value(
    program: Program, name: str
) -> None:
    values = values_in_matrix(program, name)
    default = field(program, name).default
    assert None in values or str(default) in values
    assert set(values) - {None, str(default)}


def _choices(program: Program, name: str) -> tuple[str, ...]:
    """Return the values of a setting that is a choice, none for another one."""
    annotation = field(program, name).annotation
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    pattern = next((m.pattern for m in field(program, name).metadata if hasattr(m, "pattern")), "")
    found = re.fullmatch(r"\^\((\w+(?:\|\w+)+)\)\$", str(pattern))
    return tuple(found[1].split("|")) if found else ()


@pytest.mark.parametrize(
    ("program", "name"), [setting for setting in OF_CLASSES if _choices(*setting)]
)
def test_each_value_of_a_choice_has_a_row(program: Program, name: str) -> None:
    values = values_in_matrix(program, name)
    missing = set(_choices(program, name)) - set(values)
    assert missing <= {field(program, name).default} if None in values else not missing


def test_the_matrix_has_no_setting_that_there_is_not() -> None:
    named = {(program, row.setting) for row in MATRIX for program in row.programs}
    assert named <= set(OF_CLASSES)


def test_each_value_is_seen_on_a_stack() -> None:
    values = {(row.setting, program, row.value) for row in MATRIX for program in row.programs}
    seen = {(r.setting, program, r.value) for r in MATRIX if r.seen for program in r.programs}
    assert seen == values


def test_a_stack_has_one_value_of_a_setting() -> None:
    placed = [(row.stack, program, row.setting) for row in MATRIX for program in row.programs]
    assert len(placed) == len(set(placed))
    assert {row.stack for row in MATRIX} == STACKS.keys() > set(ORDINARY)


@pytest.mark.parametrize("stack", [name for name in STACKS if name != "bare"])
def test_a_stack_has_addresses_and_ports_of_its_own(stack: str) -> None:
    own = {row.setting for row in MATRIX if row.stack == stack}
    needed = ["KAFKA_BOOTSTRAP_SERVERS", "REDIS_URL", "NAMESPACE", "METRICS_PORT", "API_PORT"]
    assert own >= set(needed)
