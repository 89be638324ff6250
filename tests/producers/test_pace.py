import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.pace import Pace, parse_speed


@given(
    speed=st.floats(0.01, 10_000),
    start_ms=st.integers(0, 2**42),
    clock_s=st.floats(0, 1e6),
    later_s=st.floats(0, 1e5),
)
def test_an_event_is_due_exactly_when_nothing_is_left_to_wait(
    speed: float, start_ms: int, clock_s: float, later_s: float
) -> None:
    pace = Pace(speed, start_ms, clock_s)
    ts_ms = pace.horizon_ms(clock_s + later_s)
    assert pace.seconds_until(ts_ms, clock_s) == pytest.approx(later_s, abs=1e-3)
    assert pace.seconds_until(ts_ms, clock_s + later_s) == 0


def test_at_maximum_speed_every_event_time_is_due() -> None:
    assert Pace(math.inf, 0, 0).horizon_ms(0) == math.inf


@pytest.mark.parametrize(
    ("text", "speed"), [("1x", 1), ("60x", 60), ("0.5x", 0.5), ("max", math.inf)]
)
def test_a_speed_is_a_factor_or_max(text: str, speed: float) -> None:
    assert parse_speed(text) == speed


@pytest.mark.parametrize(
    "text", ["", "x", "5", "0x", "-1x", "infx", "nanx", "1e999x", "fast", "MAX"]
)
def test_anything_else_is_refused_with_its_value(text: str) -> None:
    with pytest.raises(ValueError, match=f"speed '{text}'"):
        parse_speed(text)
