"""The matrix has every setting of the classes, with its values."""

from typing import Any, Final

import pytest
from pydantic.fields import FieldInfo

from tests.docs.settings_page import choices
from tests.settings.matrix import MATRIX, ORDINARY, STACKS
from tests.settings.rows import OF_ARCHIVE, SETTINGS, Program
from trainer.settings_file import flat_fields

OF_CLASSES: Final = sorted(
    (program, name.upper())
    for program, of in SETTINGS.items()
    for name in flat_fields(of)
    if not name.startswith(OF_ARCHIVE)
)


def field(program: Program, name: str) -> FieldInfo:
    return flat_fields(SETTINGS[program])[name.lower()]


def values_in_matrix(program: Program, name: str) -> list[Any]:
    return [r.value for r in MATRIX if r.setting == name and program in r.programs]


@pytest.mark.parametrize(("program", "name"), OF_CLASSES)
def test_a_setting_has_rows_of_its_default_and_of_another_value(
    program: Program, name: str
) -> None:
    values = values_in_matrix(program, name)
    default = field(program, name).default
    assert None in values or str(default) in values
    assert set(values) - {None, str(default)}


@pytest.mark.parametrize(
    ("program", "name"), [setting for setting in OF_CLASSES if choices(field(*setting))]
)
def test_each_value_of_a_choice_has_a_row(program: Program, name: str) -> None:
    values = values_in_matrix(program, name)
    missing = set(choices(field(program, name))) - set(values)
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
