"""The settings of `python -m producers adapt`."""

from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from producers.settings import ProducerSettings
from runtime.settings import MetricsSettings

_ANSWER_S: Final = 10.0
"""For an answer of the registry; confluent-kafka's client has no limit of its own."""


class SchemaRegistryConfig(BaseModel):
    """The settings that begin with `SCHEMA_REGISTRY_`, named as confluent-kafka's client does."""

    model_config = ConfigDict(frozen=True)

    url: str | None = Field(
        default=None,
        pattern=r"^https?://",
        description="address of a Schema Registry with Confluent's API",
    )
    basic_auth_user_info: SecretStr | None = Field(
        default=None, repr=False, description="`user:password`, or `key:secret`, to log in with"
    )
    ssl_ca_location: Path | None = Field(
        default=None,
        description="PEM file of the certificate authorities to trust; none: the system's",
    )
    ssl_certificate_location: Path | None = Field(
        default=None, description="PEM file of the client's certificate"
    )
    ssl_key_location: Path | None = Field(
        default=None, description="PEM file of the certificate's key"
    )

    @field_validator("*")
    @classmethod
    def _check_file(cls, value: Any) -> Any:
        if isinstance(value, Path) and not value.is_file():
            raise ValueError("cannot be read: name a PEM file")
        return value

    def client(self) -> dict[str, str | float]:
        """Return the options of confluent-kafka's client."""
        said = {name.replace("_", "."): value for name, value in self if value is not None}
        options = {
            name: value.get_secret_value() if isinstance(value, SecretStr) else str(value)
            for name, value in said.items()
        }
        return {**options, "timeout": _ANSWER_S}


class AdaptSettings(ProducerSettings, MetricsSettings):
    """Read from environment variables of the same names in upper case."""

    schema_registry: SchemaRegistryConfig = SchemaRegistryConfig()
    adapt_instance: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9._-]{1,100}$",
        description="name of this copy of `adapt`, unique in its group; a killed copy that "
        "restarts under its name continues at once, without a name within half a minute",
    )
    metrics_port: int = Field(
        default=9104, ge=0, le=65_535, description="serves `/metrics`; 0: not served"
    )
