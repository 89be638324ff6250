"""A Kafka with users: how each login mechanism is set up and used."""

import base64
import json
import secrets
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, get_args

import trustme
from confluent_kafka.admin import ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from infra.local.kafka.secured import MECHANISM, Security, grant_all, listening, new_security
from infra.local.kafka.server import kafka
from infra.local.process import Server, free_port
from runtime.kafka.broker import Admin
from runtime.kafka.config import KafkaConfig, plain
from runtime.kafka.rights import User
from tests.http_server import Handler, serving
from tests.patience import PATIENCE_S, eventually

Way = Literal[
    "scram-512", "scram-256", "plain", "oauthbearer", "certificate", "unencrypted", "encrypted"
]
WAYS: Final[tuple[Way, ...]] = get_args(Way)
AUDIENCE: Final = "kafka"
ISSUER: Final = "https://idp.example"
_LOGIN: Final = "org.apache.kafka.common.security"
_OAUTH: Final = f"{_LOGIN}.oauthbearer"
_ITERATIONS: Final = 4096
"""Iterations of a password's hash: Kafka's minimum."""
_SCRAM: Final = (
    ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, _ITERATIONS),
    ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, _ITERATIONS),
)
_POLL_S: Final = 0.02
_ONE_COMPILER: Final = "-XX:TieredStopAtLevel=1"
"""It lives for minutes: Java's second compiler costs more than it saves."""
_COMPACTING: Final = {"log.cleaner.backoff.ms": "200"}
"""By itself it looks for something to compact every 15 s."""
_LISTENERS: Final = {
    "SECURED": "SASL_SSL",
    "OPEN": "SASL_PLAINTEXT",
    "MUTUAL": "SSL",
    "ENCRYPTED": "SSL",
}


@dataclass(frozen=True, slots=True)
class Guarded:
    """The broker's users, and their listeners."""

    own_address: str
    addresses: Mapping[str, str]
    security: Security
    token_url: str

    def config(self, user: User, way: Way = "scram-512", **other: Any) -> KafkaConfig:
        """Return a user's settings for a login mechanism, with `other` settings on top."""
        settings: dict[str, Any] = {
            name.removeprefix("KAFKA_").lower(): value
            for name, value in self.environment(user, way).items()
        }
        return KafkaConfig(**settings | other)

    def environment(self, user: User, way: Way = "scram-512") -> dict[str, str]:
        """Return the same as settings of a program."""
        if way == "encrypted":
            return {
                "KAFKA_BOOTSTRAP_SERVERS": self.addresses["ENCRYPTED"],
                "KAFKA_SECURITY_PROTOCOL": "SSL",
                "KAFKA_SSL_CA_FILE": str(self.security.ca_file),
            }
        if way == "certificate":
            return {
                "KAFKA_BOOTSTRAP_SERVERS": self.addresses["MUTUAL"],
                "KAFKA_SECURITY_PROTOCOL": "SSL",
                "KAFKA_SSL_CA_FILE": str(self.security.ca_file),
                "KAFKA_SSL_CERTIFICATE_FILE": str(self.security.folder / f"{user}.pem"),
                "KAFKA_SSL_KEY_FILE": str(self.security.folder / f"{user}.key"),
            }
        mechanism = {"scram-256": "SCRAM-SHA-256", "plain": "PLAIN", "oauthbearer": "OAUTHBEARER"}
        found = self.security.environment(user) | {
            "KAFKA_BOOTSTRAP_SERVERS": self.addresses["SECURED"],
            "KAFKA_SASL_MECHANISM": mechanism.get(way, MECHANISM),
        }
        if way == "unencrypted":
            del found["KAFKA_SSL_CA_FILE"]
            found["KAFKA_BOOTSTRAP_SERVERS"] = self.addresses["OPEN"]
            found["KAFKA_SECURITY_PROTOCOL"] = "SASL_PLAINTEXT"
        if way == "oauthbearer":
            found["KAFKA_SASL_TOKEN_URL"] = self.token_url
            found["KAFKA_SASL_TOKEN_SCOPE"] = "streams"
        return found

    def grant(self, namespace: str, prefix: str = "") -> None:
        """Grant each program's user its rights."""
        client = Admin(plain(self.own_address))
        grant_all(client, KafkaConfig(prefix=prefix), namespace)

    def add_users(self) -> None:
        """Store the passwords of SCRAM users in Kafka; wait until it has them."""
        client = Admin(plain(self.own_address))
        users = self.security.passwords
        for hashed in _SCRAM:  # Kafka accepts a user once per request
            changed = client.alter_user_scram_credentials(
                [
                    UserScramCredentialUpsertion(user, hashed, password.encode())
                    for user, password in users.items()
                ],
                request_timeout=PATIENCE_S,
            )
            for done in changed.values():
                done.result()

        def known() -> bool:
            of = client.describe_user_scram_credentials(request_timeout=PATIENCE_S).result()
            return {user: len(of[user].scram_credential_infos) for user in of} == wanted

        # The broker learns of users a moment after its controller.
        wanted = dict.fromkeys(users, len(_SCRAM))
        eventually(known, "the broker knows its users", every_s=_POLL_S)


@dataclass(frozen=True, slots=True)
class GuardedSetup:
    """The setup of such a broker, wherever it runs; once it runs, its users must be created."""

    guarded: Guarded
    properties: dict[str, str]
    jwks: Path
    """the keys that tokens are signed with"""

    @property
    def listeners(self) -> dict[str, tuple[str, str]]:
        """Its users' listeners: name -> host:port and protocol."""
        return {name: (self.guarded.addresses[name], of) for name, of in _LISTENERS.items()}

    @property
    def environment(self) -> dict[str, str]:
        """Options for Java."""
        allowed = f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={self.jwks.as_uri()}"
        return {"JAVA_TOOL_OPTIONS": f"{allowed} {_ONE_COMPILER}"}

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that the properties name."""
        security = self.guarded.security
        return security.broker_file, security.ca_file, self.jwks

    def from_jars(self, folder: Path) -> Server:
        """Return how to run it here; raises as `kafka`."""
        port = int(self.guarded.own_address.rpartition(":")[2])
        own = kafka(port, folder, listeners=self.listeners, properties=self.properties)
        # Nobody reads its data again, which would take it seconds to close.
        command = replace(own.command, environment=self.environment, stop_signal=signal.SIGKILL)
        return replace(own, command=command)


@contextmanager
def guarded_setup(folder: Path, host: str) -> Iterator[GuardedSetup]:
    """How to run it on a host; its users are given tokens for as long as the block lasts."""
    security = new_security(folder / "tls", host)
    _issue_certificates(security)
    own, *others = (f"{host}:{free_port()}" for _ in range(1 + len(_LISTENERS)))
    with _token_endpoint(security) as (token_url, jwks):
        guarded = Guarded(own, dict(zip(_LISTENERS, others, strict=True)), security, token_url)
        properties = listening(security, ["SECURED", "OPEN"]) | _logins(security, jwks)
        yield GuardedSetup(guarded, properties | _COMPACTING, jwks)


def _issue_certificates(security: Security) -> None:
    # The authority of the broker's certificate signs those of clients, too.
    authority = trustme.CA.from_pem(
        security.ca_file.read_bytes(), (security.folder / "ca.key").read_bytes()
    )
    for user in security.passwords:
        issued = authority.issue_cert(f"{user}.example", common_name=user)
        issued.cert_chain_pems[0].write_to_path(security.folder / f"{user}.pem")
        issued.private_key_pem.write_to_path(security.folder / f"{user}.key")


def _logins(security: Security, jwks: Path) -> dict[str, str]:
    users = " ".join(f'user_{user}="{pw}"' for user, pw in security.passwords.items())
    of = "listener.name.secured"
    return {
        f"{of}.sasl.enabled.mechanisms": f"{MECHANISM},SCRAM-SHA-256,PLAIN,OAUTHBEARER",
        f"{of}.scram-sha-256.sasl.jaas.config": f"{_LOGIN}.scram.ScramLoginModule required;",
        f"{of}.plain.sasl.jaas.config": f"{_LOGIN}.plain.PlainLoginModule required {users};",
        f"{of}.oauthbearer.sasl.jaas.config": f"{_OAUTH}.OAuthBearerLoginModule required;",
        f"{of}.oauthbearer.sasl.server.callback.handler.class": (
            f"{_OAUTH}.OAuthBearerValidatorCallbackHandler"
        ),
        f"{of}.oauthbearer.sasl.oauthbearer.jwks.endpoint.url": jwks.as_uri(),
        f"{of}.oauthbearer.sasl.oauthbearer.expected.audience": AUDIENCE,
        f"{of}.oauthbearer.sasl.oauthbearer.expected.issuer": ISSUER,
        "listener.name.mutual.ssl.client.auth": "required",
        "listener.name.mutual.ssl.principal.mapping.rules": "RULE:^.*CN=([^,]+).*$/$1/",
    }


@contextmanager
def _token_endpoint(security: Security) -> Iterator[tuple[str, Path]]:
    """Run an identity provider; yield its address, and the file of keys that it signs with.

    A client that asks for the scope `short` gets a token that has ended.
    """
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    numbers = key.public_key().public_numbers()
    jwk = {"kty": "RSA", "kid": "1", "alg": "RS256", "use": "sig"}
    jwk |= {"n": _base64(_bytes(numbers.n)), "e": _base64(_bytes(numbers.e))}
    jwks = security.folder / "jwks.json"
    jwks.write_text(json.dumps({"keys": [jwk]}))

    class Endpoint(Handler):
        def answer(self) -> None:
            form = self.rfile.read(int(self.headers["Content-Length"])).decode()
            login = base64.b64decode(self.headers["Authorization"].removeprefix("Basic "))
            user, _, password = login.decode().partition(":")
            known = security.passwords.get(user) == password  # type: ignore[call-overload]
            lasts_s = -60 if "scope=short" in form else 3600
            token = {"access_token": _token(key, user, lasts_s), "expires_in": 3600}
            answer = json.dumps(token if known else {"error": "invalid_client"}).encode()
            self.send(200 if known else 401, answer, Content_Type="application/json")

    with serving(Endpoint) as address:
        yield f"http://{address}/token", jwks


def _token(key: rsa.RSAPrivateKey, user: str, lasts_s: int) -> str:
    now_s = int(time.time())
    claims = {"sub": user, "aud": AUDIENCE, "iss": ISSUER, "jti": secrets.token_hex(8)}
    claims |= {"iat": now_s - 120, "exp": now_s + lasts_s}
    head = {"alg": "RS256", "typ": "JWT", "kid": "1"}
    signed = ".".join(_base64(json.dumps(part).encode()) for part in (head, claims))
    signature = key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{signed}.{_base64(signature)}"


def _bytes(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
