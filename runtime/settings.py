"""The settings that several programs share; each program adds its own in a subclass."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class SharedSettings(BaseSettings):
    """Read from environment variables of the same names, in capitals."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    kafka_bootstrap_servers: str = Field(
        default="127.0.0.1:9092", description="host:port of the brokers, comma-separated"
    )
    redis_url: str = Field(
        default="redis://127.0.0.1:6379/0",
        pattern=r"^(redis|rediss|unix)://",
        description="of a single node or any node of a cluster",
    )
    namespace: str = Field(
        default="live",
        pattern=r"^[A-Za-z0-9._-]+$",
        description="prefix of every key and consumer group",
    )
    log_level: str = Field(
        default="INFO", pattern=r"^(DEBUG|INFO|WARNING|ERROR)$", description="of the JSON log"
    )


class MetricsSettings(SharedSettings):
    """Of programs that serve nothing but their metrics."""

    metrics_host: str = Field(
        default="127.0.0.1",
        description="address to serve metrics on; 0.0.0.0 to be reached from outside a container",
    )
