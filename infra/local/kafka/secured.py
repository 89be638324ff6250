"""Apache Kafka as in production: encrypted, with a least-privilege user for each program.

Programs reach it by SASL_SSL and SCRAM. Its operator has a separate listener, on loopback, with all
rights.
"""

import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, get_args

import trustme
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclBinding, AclBindingFilter, AclOperation, AclPermissionType
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType
from cryptography.hazmat.primitives import serialization

from infra.local.kafka.server import kafka
from infra.local.process import LOOPBACK, Server, free_port
from runtime.kafka import broker
from runtime.kafka.config import KafkaConfig, plain
from runtime.kafka.rights import Right, User, rights

MECHANISM: Final = "SCRAM-SHA-512"
LISTENER: Final = "SECURED"
_CALL_S: Final = 15
_POLL_S: Final = 0.02
_SCRAM_LOGIN: Final = "org.apache.kafka.common.security.scram.ScramLoginModule"


@dataclass(frozen=True, slots=True)
class Security:
    """Kafka's users, and the certificates by which they verify Kafka."""

    folder: Path
    """with the certificates"""
    passwords: Mapping[User, str]

    @property
    def ca_file(self) -> Path:
        """The authority that signs the broker's certificate."""
        return self.folder / "ca.pem"

    @property
    def broker_file(self) -> Path:
        """The broker's key, and its certificate."""
        return self.folder / "broker.pem"

    def properties(self) -> dict[str, str]:
        """Return the broker's settings, except its listeners."""
        return {
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self.broker_file),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.ca_file),
        }

    def scram(self) -> tuple[str, ...]:
        """Return the options that format storage with the users."""
        return tuple(
            part
            for user, password in self.passwords.items()
            for part in ("--add-scram", f"{MECHANISM}=[name={user},password={password}]")
        )

    def environment(self, user: User) -> dict[str, str]:
        """Return how a user reaches Kafka, as settings of a program, without the address."""
        return {
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SSL_CA_FILE": str(self.ca_file),
            "KAFKA_SASL_MECHANISM": MECHANISM,
            "KAFKA_SASL_USERNAME": user,
            "KAFKA_SASL_PASSWORD": self.passwords[user],
        }


def new_security(folder: Path, host: str = LOOPBACK) -> Security:
    """Create certificates of a host in a folder, and a password for each user."""
    folder.mkdir(parents=True, exist_ok=True)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    authority.private_key_pem.write_to_path(folder / "ca.key")
    issued = authority.issue_cert(LOOPBACK, "localhost", host)
    security = Security(folder, {user: secrets.token_urlsafe(16) for user in get_args(User)})
    security.broker_file.write_bytes(
        _pkcs8(issued.private_key_pem.bytes()) + issued.cert_chain_pems[0].bytes()
    )
    return security


def _pkcs8(key: bytes) -> bytes:
    """Return a key in the only format that Kafka accepts."""
    return serialization.load_pem_private_key(key, None).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def listening(security: Security, listeners: Iterable[str]) -> dict[str, str]:
    """Return the broker's settings for users to log in at some of its listeners."""
    properties = security.properties()
    for name in listeners:
        of = f"listener.name.{name.lower()}"
        properties[f"{of}.sasl.enabled.mechanisms"] = MECHANISM
        properties[f"{of}.{MECHANISM.lower()}.sasl.jaas.config"] = f"{_SCRAM_LOGIN} required;"
    return properties


def secured_kafka(port: int, folder: Path, namespace: str, prefix: str) -> tuple[Server, Security]:
    """Apache Kafka with the rights of `runtime.kafka.rights`; ready once they are in effect.

    Raises:
        NoKafkaError: it is unavailable or cannot run here; says why.
    """
    security = new_security(folder / "tls")
    address = f"{LOOPBACK}:{port}"
    own = kafka(
        free_port(),
        folder,
        listeners={LISTENER: (address, "SASL_SSL")},
        properties=listening(security, [LISTENER]),
        storage=security.scram(),
    )
    client = broker.Admin(plain(own.address))
    has_granted = False

    def admits() -> bool:
        nonlocal has_granted
        if not own.answers():
            return False
        if not has_granted:  # grants persist in its data, even through a restart
            try:
                grant_all(client, KafkaConfig(prefix=prefix), namespace)
            except KafkaException:
                return False
            has_granted = True
        return True

    return replace(own, address=address, answers=admits), security


def grant_all(client: AdminClient, kafka: KafkaConfig, namespace: str) -> None:
    """Grant each program's user its rights; as `grant`."""
    for user, granted in rights(namespace).items():
        grant(client, kafka, user, granted)


def grant(client: AdminClient, kafka: KafkaConfig, user: str, granted: Iterable[Right]) -> None:
    """Grant rights to a user, and wait until they are in effect; existing rights stay.

    Raises:
        confluent_kafka.KafkaException: the broker refuses, or does not answer.
    """
    bindings = [_binding(kafka, user, right) for right in granted]
    for done in client.create_acls(bindings, request_timeout=_CALL_S).values():
        done.result()
    _await(client, lambda in_force: in_force.issuperset(bindings))


def revoke(client: AdminClient, kafka: KafkaConfig, user: str, right: Right) -> None:
    """Revoke a right, and wait until it is gone.

    Raises:
        confluent_kafka.KafkaException: as `grant`.
    """
    of = _binding(kafka, user, right)
    wanted = AclBindingFilter(
        of.restype, of.name, of.resource_pattern_type,
        of.principal, of.host, of.operation, of.permission_type,
    )  # fmt: skip
    for done in client.delete_acls([wanted], request_timeout=_CALL_S).values():
        done.result()
    _await(client, lambda in_force: of not in in_force)


def _await(client: AdminClient, is_done: Callable[[set[AclBinding]], bool]) -> None:
    """Wait for the broker, which learns of rights a moment after its controller."""
    anyone: Any = None  # which is not among the types of confluent-kafka
    everything = AclBindingFilter(
        ResourceType.ANY, anyone, ResourcePatternType.ANY,
        anyone, anyone, AclOperation.ANY, AclPermissionType.ANY,
    )  # fmt: skip
    while not is_done(set(client.describe_acls(everything, request_timeout=_CALL_S).result())):
        time.sleep(_POLL_S)


def _binding(kafka: KafkaConfig, user: str, right: Right) -> AclBinding:
    """Return a right in Kafka's form."""
    return AclBinding(
        ResourceType[right.kind.upper()],
        kafka.topic(right.name).removesuffix("*"),
        ResourcePatternType.PREFIXED if right.name.endswith("*") else ResourcePatternType.LITERAL,
        f"User:{user}",
        "*",
        AclOperation[right.operation],
        AclPermissionType.ALLOW,
    )
