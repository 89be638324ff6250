"""How many examples Hypothesis tries: a tenth in `make test`, all of them in `make test-slow`."""

from typing import Any

from hypothesis import HealthCheck, settings

_ALL = 100
"""Hypothesis' own number."""


def register_profiles() -> None:
    """Register `quick`, which `make test` runs with, and `full`."""
    patient: dict[str, Any] = {
        # Results do not depend on the machine's speed.
        "deadline": None,
        "suppress_health_check": [HealthCheck.too_slow],
    }
    settings.register_profile("full", max_examples=_ALL, **patient)
    settings.register_profile("quick", max_examples=_ALL // 10, **patient)
    settings.load_profile("quick")


def examples(of_all: int, **other: Any) -> settings:
    """Return the settings of a test with so many examples in the profile `full`."""
    return settings(max_examples=of_all * settings().max_examples // _ALL, **other)
