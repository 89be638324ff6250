"""Credentials for aiokafka, standalone and as Faust's consumer."""

import asyncio
import time
from typing import Any, Final

from aiokafka.abc import AbstractTokenProvider
from faust.auth import OAuthCredentials, SASLCredentials, SSLCredentials
from faust.types.auth import CredentialsT

from runtime.kafka.config import KafkaConfig
from runtime.kafka.tokens import Token

_RENEWED_AFTER: Final = 0.8
"""Share of a token's lifetime, as in librdkafka."""


class _Tokens(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka has no types
    """Gives each new connection a token that stays valid for a while."""

    def __init__(self, kafka: KafkaConfig) -> None:
        self._source = kafka.tokens()
        self._token = Token("", 0.0)
        self._renewed_at_s = 0.0

    async def token(self) -> str:
        """Return the token; a new one if it is about to expire."""
        now_s = time.time()
        if now_s >= self._renewed_at_s:
            self._token = await asyncio.to_thread(self._source.new)
            self._renewed_at_s = now_s + _RENEWED_AFTER * (self._token.ends_at_s - now_s)
        return self._token.text


def connecting(kafka: KafkaConfig) -> dict[str, Any]:
    """Return the connection options of an aiokafka client."""
    options: dict[str, Any] = {
        "bootstrap_servers": kafka.bootstrap_servers.split(","),
        "security_protocol": kafka.security_protocol,
        "ssl_context": kafka.ssl_context(),
    }
    if kafka.sasl_mechanism == "OAUTHBEARER":
        options["sasl_oauth_token_provider"] = _Tokens(kafka)
    elif kafka.sasl_mechanism is not None:
        options["sasl_plain_username"] = kafka.sasl_username
        options["sasl_plain_password"] = kafka.password()
    if kafka.sasl_mechanism is not None:
        options["sasl_mechanism"] = kafka.sasl_mechanism
    return options


def credentials(kafka: KafkaConfig) -> CredentialsT | None:
    """Return the same for Faust; None where connections are plain."""
    context = kafka.ssl_context()
    if kafka.sasl_mechanism == "OAUTHBEARER":
        return OAuthCredentials(oauth_cb=_Tokens(kafka), ssl_context=context)
    if kafka.sasl_mechanism is not None:
        return SASLCredentials(
            username=kafka.sasl_username,
            password=kafka.password(),
            ssl_context=context,
            mechanism=kafka.sasl_mechanism,
        )
    return None if context is None else SSLCredentials(context)
