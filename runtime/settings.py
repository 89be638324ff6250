"""The settings that several programs share; each program adds its own in a subclass."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, time
from difflib import get_close_matches
from typing import Any, Final, Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from contracts.affinities import AffinityName
from contracts.event_types import BUILT_IN, describe_event_weights, parse_event_weights
from contracts.input_rules import InputRules
from runtime.kafka.config import KafkaConfig
from runtime.redis.url import RedisUrl
from runtime.running_stack import find_stack

S = TypeVar("S", bound=BaseSettings)

_NEARLY: Final = 0.87
"""Ratio of difflib; two settings of different programs have at most 0.86."""


class SettingsError(ValueError):
    """Settings are wrong."""


def read_settings(of: type[S], *, finds_stack: bool = True) -> S:
    """Return a program's settings from the environment; of the stack of `make up` if it has none.

    Raises:
        SettingsError: some are invalid; names each, and what would be valid.
    """
    try:
        if finds_stack and issubclass(of, SharedSettings):
            find_stack()
        return of()
    except ValidationError as error:
        raise SettingsError(describe_errors(error, of)) from None


def describe_errors(error: ValidationError, of: type[BaseModel]) -> str:
    """Return one line for each invalid setting: its name, its value, and what would be valid.

    The value of a secret, a field that is not part of the `repr`, is not shown.
    """
    return "\n".join(
        f"{'_'.join(map(str, each['loc'])).upper()}"
        f"{_value(each['input'], each['loc'], of)}: "
        f"{each['msg'].removeprefix('Value error, ')}"
        for each in error.errors()
    )


def flat_fields(settings: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return every setting by its name in the environment, in small letters.

    >>> [name for name in flat_fields(SharedSettings) if name.startswith("kafka_p")]
    ['kafka_prefix']
    """
    found: dict[str, FieldInfo] = {}
    for name, field in settings.model_fields.items():
        part = part_of(field)
        own = {f"{name}_{inner}": of for inner, of in part.model_fields.items()} if part else {}
        found |= own or {name: field}
    return found


def part_of(field: FieldInfo) -> type[BaseModel] | None:
    """Return the class of settings that a field is a part of settings by; None if it is one."""
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def misspelt_settings(names: Iterable[str], of: type[BaseModel]) -> dict[str, str]:
    """Return the names that are nearly those of a setting, with that setting.

    >>> misspelt_settings(["REDIS_URI", "REDIS_URL", "HOME"], SharedSettings)
    {'REDIS_URI': 'REDIS_URL'}
    """
    known = [name.upper() for name in flat_fields(of)]
    unknown = set(names).difference(known)
    nearest = {name: get_close_matches(name, known, 1, _NEARLY) for name in sorted(unknown)}
    return {name: matches[0] for name, matches in nearest.items() if matches}


def _value(value: object, place: tuple[str | int, ...], of: type[BaseModel]) -> str:
    return "" if value is None or _is_secret(place, of) else f"={value!r}"


def _is_secret(place: tuple[str | int, ...], of: type[BaseModel]) -> bool:
    field = of.model_fields.get(str(place[0])) if place else None
    if field is None or not field.repr:
        return field is not None
    part = part_of(field)
    return part is not None and _is_secret(place[1:], part)


class _Environment(EnvSettingsSource):
    """Reads nested settings, such as `KAFKA_PREFIX`, of fields that are models only.

    pydantic-settings takes `API_KEYS_FILE` for a part of `API_KEYS`, as that is a set.
    """

    def explode_env_vars(
        self, field_name: str, field: FieldInfo, env_vars: Mapping[str, str | None]
    ) -> dict[str, Any]:
        """Return the parts of a field."""
        return super().explode_env_vars(field_name, field, env_vars) if part_of(field) else {}


class SharedSettings(BaseSettings):
    """Read from environment variables of the same names, in capitals."""

    # `KAFKA_PREFIX` is `prefix` of the part `kafka`.
    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", env_nested_delimiter="_", env_nested_max_split=1
    )

    kafka: KafkaConfig = KafkaConfig()
    redis_url: RedisUrl = Field(
        default="redis://127.0.0.1:6379/0",
        repr=False,
        description="a node, any node of a cluster, or Sentinels; Redis 7 or newer, or Valkey",
    )
    namespace: str = Field(
        default="live",
        pattern=r"^[A-Za-z0-9._-]+$",
        description="prefix of every key in Redis and of every consumer group",
    )
    log_level: str = Field(
        default="INFO", pattern=r"^(DEBUG|INFO|WARNING|ERROR)$", description="of the log"
    )
    log_format: Literal["auto", "text", "json"] = Field(
        default="auto",
        description="`json`: a line of JSON for each record, in Elastic Common Schema; `text`: for "
        "people; `auto`: text on a terminal, else JSON",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        *_: PydanticBaseSettingsSource,
        **__: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources of settings, in order of precedence."""
        return init_settings, _Environment(settings_cls)


class MetricsSettings(SharedSettings):
    """Of programs that serve nothing but their metrics."""

    metrics_host: str = Field(
        default="127.0.0.1",
        description="address to serve metrics on; 0.0.0.0: reachable from other hosts",
    )


class TracingSettings(BaseModel):
    """Of programs that can export traces."""

    otel_exporter_otlp_endpoint: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s/?#]+(/[^\s?#]*)?$",
        description="base URL of an OTLP/HTTP receiver for traces, such as `http://127.0.0.1:4318`",
    )

    @field_validator("otel_exporter_otlp_endpoint", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return value or None  # as OpenTelemetry has it


class EventWeightsSettings(BaseModel):
    """Which types of events there are: the same for all programs."""

    event_weights: str = Field(
        default="",
        description="weights of types of events that differ from the built-in ones "
        f"({', '.join(f'{name}={weight:g}' for name, weight in BUILT_IN.items())}), or add to "
        "them, such as `purchase=8,view=0.5`; events of a type that weighs 0 or less reject "
        "their item",
    )

    @field_validator("event_weights")
    @classmethod
    def _are_weights(cls, text: str) -> str:
        return describe_event_weights(parse_event_weights(text))

    def weights_of_types(self) -> dict[str, float]:
        """Return each type of event, and its weight."""
        return parse_event_weights(self.event_weights)


class EventSettings(EventWeightsSettings):
    """Which event times and types are refused: the same for all programs."""

    earliest_event_date: date = Field(
        default=date(1990, 1, 1),
        ge=date(1970, 1, 1),
        description="UTC; earlier event times are rejected",
    )

    def input_rules(self) -> InputRules:
        """Return the rules that the settings make."""
        earliest = datetime.combine(self.earliest_event_date, time(), UTC)
        earliest_ms = round(earliest.timestamp() * 1000)
        return InputRules(earliest_ms, event_weights=self.weights_of_types())


class InputSettings(EventSettings):
    """Which quotes, events and instruments are refused: the same for all programs."""

    unknown_fields: Literal["take", "refuse"] = Field(
        default="take",
        description="a message with a field unknown to its type: `take` accepts it without the "
        "field and counts it, `refuse` rejects it",
    )

    def input_rules(self) -> InputRules:
        """Return the rules that the settings make."""
        refuses = self.unknown_fields == "refuse"
        return replace(super().input_rules(), refuses_unknown_fields=refuses)


class BarSettings(BaseModel):
    """How long bars live: the workers drop older ones, a replay counts their quotes."""

    bars_retention_minutes: int = Field(
        default=1_440, ge=1, description="minutes of event time to keep for each instrument"
    )


class GivenSettings(InputSettings, SharedSettings):
    """Of programs that take input and have no settings of their own."""


class FoldingSettings(EventWeightsSettings):
    """How events become histories: the workers fold by it, the trainer's evaluation recomputes."""

    affinity: AffinityName = Field(
        default="binary",
        description="what a user's events with an item add up to: `binary`: 1; `weighted`: the "
        "sum of their weights, which decay with time; `greatest`: the maximum of these",
    )
    half_life_days: float = Field(
        default=60.0,
        ge=14,
        le=36_500,
        description="of the weights that decay; below 14 days the numbers overflow",
    )
    history_cap: int = Field(
        default=500,
        ge=1,
        le=5_000,
        description="most recent items kept in a user's history, and as many rejected ones",
    )
    user_weight: Literal["none", "inverse-degree", "value"] = Field(
        default="none",
        description="scales a user's affinities: `inverse-degree`: by (items in the "
        "history)^-exponent; `value`: by (mean transaction value / typical value)^exponent",
    )
    user_weight_exponent: float = Field(
        default=0.5, gt=0, le=1, description="exponent of `USER_WEIGHT`"
    )
    typical_value: float = Field(
        default=1.0,
        ge=1e-6,
        le=1e12,
        description="for `USER_WEIGHT=value`: price times quantity at which a user counts as much "
        "as one without transactions; values are clipped to 1,000 times and a 1,000th of it",
    )

    def folded_by(self) -> dict[str, Any]:
        """Return what histories depend on, by the settings' names: equal ones give equal histories.

        Of a setting that does not matter, or that adds nothing to the built-in weights, there is
        nothing.
        """
        is_binary = self.affinity == "binary"
        names = ["affinity", "history_cap", "user_weight"]
        names += ["half_life_days"] if not is_binary else []
        names += ["user_weight_exponent"] if self.user_weight != "none" else []
        names += ["typical_value"] if self.user_weight == "value" else []
        weights = describe_event_weights(self.weights_of_types(), signs_only=is_binary)
        of_types = {"event_weights": weights} if weights else {}
        return {name: getattr(self, name) for name in names} | of_types
