"""How bars of any prices are compared, whose sums depend on the order by their last bits."""

import math
from typing import Any

import pytest

from tests.chaos.recount import tolerant, with_sums_apart
from tests.chaos.stored import differences
from tests.chaos.truth.expected import Expected

BAR = {"o": 1.1, "c": 2.2, "n": 3, "pv": 0.1 + 0.2 + 0.3}


def compared(stored: dict[str, Any]) -> list[str]:
    expected = tolerant(Expected({("live:bars:{q0}:4", "60"): BAR}, {}))
    return list(differences(expected, with_sums_apart({("live:bars:{q0}:4", "60"): stored})))


def test_a_sum_may_differ_in_its_last_bits() -> None:
    assert compared(BAR | {"pv": math.nextafter(BAR["pv"], math.inf)}) == []


@pytest.mark.parametrize("wrong", [{"pv": 0.61}, {"c": math.nextafter(2.2, 3)}, {"n": 4}])
def test_nothing_else_may_differ(wrong: dict[str, float]) -> None:
    assert len(compared(BAR | wrong)) == 1
