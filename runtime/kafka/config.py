"""How to reach Kafka: where it listens, how to log in, and what our topics are called there."""

import ssl
import time
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator

from runtime.kafka.tokens import Token, TokenSource

NAMES_MOST: Final = 100
"""Characters of a prefix: Kafka takes 249 of a topic, and ours follow."""


class KafkaConfig(BaseModel):
    """The settings that begin with `KAFKA_`, which every program shares.

    Both clients take them: librdkafka by `librdkafka`, aiokafka by `ssl_context` and the fields.
    """

    model_config = ConfigDict(frozen=True)

    bootstrap_servers: str = Field(
        default="127.0.0.1:9092", description="host:port of the brokers, comma-separated"
    )
    prefix: str = Field(
        default="",
        pattern=rf"^[A-Za-z0-9._-]{{0,{NAMES_MOST}}}$",
        description="prepended to the name of each topic and consumer group, such as `shop.`",
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT",
        description="whether connections are encrypted, and whether clients authenticate",
    )
    ssl_ca_file: Path | None = Field(
        default=None,
        description="PEM file of the certificate authorities to trust for brokers; none: the "
        "system's",
    )
    ssl_certificate_file: Path | None = Field(
        default=None, description="PEM file of the client's certificate and its chain"
    )
    ssl_key_file: Path | None = Field(
        default=None, description="PEM file of the certificate's key, not encrypted"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] | None = (
        Field(default=None, validate_default=True, description="how the client authenticates")
    )
    sasl_username: str | None = Field(
        default=None,
        validate_default=True,
        description="user name; for `OAUTHBEARER`, the client id",
    )
    sasl_password: SecretStr | None = Field(
        default=None,
        validate_default=True,
        repr=False,
        description="password; for `OAUTHBEARER`, the client secret",
    )
    sasl_token_url: str | None = Field(
        default=None,
        pattern=r"^https?://",
        validate_default=True,
        description="for `OAUTHBEARER`: the token endpoint of the identity provider",
    )
    sasl_token_scope: str | None = Field(
        default=None, description="for `OAUTHBEARER`: the scope to request"
    )

    @property
    def is_encrypted(self) -> bool:
        """Whether connections are."""
        return self.security_protocol.endswith("SSL")

    def topic(self, name: str) -> str:
        """Return what a topic, or a consumer group, of ours is called on the broker."""
        return self.prefix + name

    def name(self, topic: str) -> str:
        """Return what a topic on the broker is called here."""
        return topic.removeprefix(self.prefix)

    def librdkafka(self) -> dict[str, Any]:
        """Return the options by which confluent-kafka connects.

        Raises:
            runtime.kafka.tokens.TokenError: a token is needed, but none is available.
        """
        options: dict[str, Any] = {"bootstrap.servers": self.bootstrap_servers}
        if self.security_protocol != "PLAINTEXT":
            options["security.protocol"] = self.security_protocol
        for option, path in (
            ("ssl.ca.location", self.ssl_ca_file),
            ("ssl.certificate.location", self.ssl_certificate_file),
            ("ssl.key.location", self.ssl_key_file),
        ):
            if path is not None:
                options[option] = str(path)
        if self.sasl_mechanism is not None:
            options["sasl.mechanism"] = self.sasl_mechanism
            options |= self._credentials(self.sasl_mechanism)
        return options

    def _credentials(self, mechanism: str) -> dict[str, Any]:
        if mechanism == "OAUTHBEARER":
            tokens = self.tokens()
            # librdkafka would only say, 10 s later, that there is no token.
            first = [tokens.new()]

            def new_token(_: str) -> Token:
                return first.pop() if first else tokens.new()

            return {"oauth_cb": new_token}
        return {"sasl.username": self.sasl_username, "sasl.password": self.password()}

    def password(self) -> str:
        """Return the password, or the secret."""
        return "" if self.sasl_password is None else self.sasl_password.get_secret_value()

    def tokens(self) -> TokenSource:
        """Return where tokens of OAUTHBEARER come from."""
        return TokenSource(
            self.sasl_token_url or "",
            self.sasl_username or "",
            self.password(),
            self.sasl_token_scope,
            time.time,
        )

    def ssl_context(self) -> ssl.SSLContext | None:
        """Return the TLS context of connections; None if they are not encrypted."""
        if not self.is_encrypted:
            return None
        context = ssl.create_default_context(cafile=self.ssl_ca_file)
        if self.ssl_certificate_file is not None:
            context.load_cert_chain(self.ssl_certificate_file, self.ssl_key_file)
        return context

    @field_validator("ssl_ca_file", "ssl_certificate_file", "ssl_key_file")
    @classmethod
    def _check_file(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        if path is None:
            return None
        protocol = info.data.get("security_protocol", "")
        if protocol and not protocol.endswith("SSL"):
            raise ValueError(
                f"has no effect with KAFKA_SECURITY_PROTOCOL={protocol}: set that to SSL or "
                "SASL_SSL, or leave this out"
            )
        try:
            path.read_bytes()
        except OSError as error:
            raise ValueError(f"cannot be read ({error.strerror}): name a PEM file") from None
        return path

    @field_validator("ssl_ca_file")
    @classmethod
    def _check_authorities(cls, path: Path | None) -> Path | None:
        if path is not None:
            try:
                ssl.create_default_context(cafile=path)
            except ssl.SSLError as error:
                raise ValueError(f"has no certificate in it ({error}): name a PEM file") from None
        return path

    @field_validator("ssl_key_file")
    @classmethod
    def _check_key(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        certificate = info.data.get("ssl_certificate_file")
        if path is None or "ssl_certificate_file" not in info.data:
            return path
        if certificate is None:
            raise ValueError("has no effect without KAFKA_SSL_CERTIFICATE_FILE: set that too")

        def refuse() -> str:
            raise ValueError("is encrypted: decrypt it, as with `openssl pkey -in KEY -out PLAIN`")

        try:
            ssl.create_default_context().load_cert_chain(certificate, path, refuse)
        except ssl.SSLError as error:
            raise ValueError(f"is not the key of {certificate} ({error})") from None
        return path

    @field_validator("sasl_mechanism")
    @classmethod
    def _check_mechanism(cls, mechanism: str | None, info: ValidationInfo) -> str | None:
        protocol = info.data.get("security_protocol", "")
        if protocol.startswith("SASL") and mechanism is None:
            raise ValueError(
                f"is required by KAFKA_SECURITY_PROTOCOL={protocol}: set it to the broker's, "
                "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER"
            )
        if protocol and not protocol.startswith("SASL") and mechanism is not None:
            raise ValueError(
                f"has no effect with KAFKA_SECURITY_PROTOCOL={protocol}, by which nobody logs in: "
                "set that to SASL_SSL, or leave this out"
            )
        return mechanism

    @field_validator("sasl_username", "sasl_password")
    @classmethod
    def _check_credentials(cls, value: Any, info: ValidationInfo) -> Any:
        mechanism = info.data.get("sasl_mechanism")
        if mechanism is not None and value is None:
            raise ValueError(f"is required by KAFKA_SASL_MECHANISM={mechanism}: set it")
        return value

    @field_validator("sasl_token_url")
    @classmethod
    def _check_token_url(cls, url: str | None, info: ValidationInfo) -> str | None:
        mechanism = info.data.get("sasl_mechanism")
        if mechanism == "OAUTHBEARER" and url is None:
            raise ValueError(
                "is required by KAFKA_SASL_MECHANISM=OAUTHBEARER: name the token endpoint of your "
                "identity provider"
            )
        return url


def plain(bootstrap_servers: str) -> KafkaConfig:
    """Return the settings of brokers without encryption and authentication."""
    return KafkaConfig(bootstrap_servers=bootstrap_servers)
