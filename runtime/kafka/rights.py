"""The exact rights that each program needs on a Kafka with authorization.

docs/kafka.md shows the same as a table. READ and WRITE include DESCRIBE.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal, NamedTuple

from confluent_kafka import KafkaError, KafkaException, TopicCollection

from contracts.keyspace import Keyspace
from contracts.topics import (
    ALL,
    BARS,
    COOCCURRENCES,
    FEEDBACK,
    INSTRUMENTS,
    INTERACTIONS,
    QUOTES,
    STREAMED,
    Topic,
    dead_letters,
)
from runtime.kafka.broker import Admin
from runtime.kafka.config import KafkaConfig

User = Literal[
    "producers",
    "simulator",
    "adapter",
    "workers",
    "trainer",
    "api",
    "archive",
    "topics",
    "operator",
]
ADAPTED: Final = (QUOTES, INTERACTIONS, INSTRUMENTS)
_LET_IN_WITHIN_S: Final = 5
_CALL_S: Final = 15
_REFUSED: Final = (
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
)


class Right(NamedTuple):
    """An operation on a topic, a consumer group or a transactional id."""

    operation: Literal["READ", "WRITE", "DESCRIBE", "CREATE", "DESCRIBE_CONFIGS"]
    kind: Literal["topic", "group", "transactional_id"]
    name: str
    """without the prefix; with `*` at its end, all names that begin so"""


class RightsError(RuntimeError):
    """Kafka refuses the login, or does not grant what the program needs."""


def rights(namespace: str) -> Mapping[User, tuple[Right, ...]]:
    """Return the rights of each program's user, by the namespace, which is in a group's name."""
    letters = tuple(map(dead_letters, STREAMED))
    return {
        "producers": _on("WRITE", QUOTES, INTERACTIONS, INSTRUMENTS),
        "simulator": (
            *_on("WRITE", QUOTES, INTERACTIONS, INSTRUMENTS),
            # It resumes where the previous one ended.
            *_on("READ", QUOTES, INTERACTIONS),
        ),
        "adapter": (
            *_on("WRITE", *ADAPTED, *map(dead_letters, ADAPTED)),
            # Symbols of the catalog.
            *_on("READ", INSTRUMENTS),
            *transactions_of("adapt"),
        ),
        "workers": (
            *_on("READ", *STREAMED),
            # Changes of counts, users who were away for long, closed bars, and records that break a
            # rule.
            *_on("WRITE", COOCCURRENCES, INTERACTIONS, BARS, *letters),
            Right("READ", "group", Keyspace(namespace).consumer_group()),
        ),
        "trainer": (*_on("READ", FEEDBACK), Right("READ", "group", "trainer")),
        "api": (
            *_on("WRITE", QUOTES, INTERACTIONS, INSTRUMENTS, FEEDBACK),
            *_on("DESCRIBE", COOCCURRENCES, *letters),
        ),
        "archive": (
            *_on("READ", QUOTES, INTERACTIONS, FEEDBACK, BARS),
            Right("READ", "group", "archive"),
        ),
        "topics": (*_on("CREATE", *ALL), *_on("DESCRIBE_CONFIGS", *ALL), *_on("DESCRIBE", *ALL)),
        "operator": (
            *_on("READ", *letters),
            *_on("WRITE", QUOTES, INTERACTIONS, INSTRUMENTS),
            Right("READ", "group", "tickrec-dead-letters"),
        ),
    }


def transactions_of(group: str) -> tuple[Right, ...]:
    """Return the rights to commit a group's offsets in transactions, by ids that begin with it."""
    return Right("READ", "group", group), Right("WRITE", "transactional_id", f"{group}-*")


def check_rights(client: Admin, kafka: KafkaConfig, needed: Sequence[Right]) -> None:
    """Return if Kafka accepts the login and grants what is needed; blocks until it answers.

    Without a login, nothing is checked. Rights that Kafka does not report for a topic or a group
    do not count as missing, nor do those on transactional ids, which cannot be looked up.

    Raises:
        RightsError: it does not; lists all missing rights.
        KafkaException: it does not answer.
    """
    try:
        client.list_topics(timeout=_LET_IN_WITHIN_S)
    except KafkaException:
        if (why := client.why_refused()) is not None:
            raise RightsError(f"Kafka rejects the login: {why}") from None
        raise
    if kafka.sasl_mechanism is None and kafka.ssl_certificate_file is None:
        return
    topics = [right for right in needed if right.kind == "topic"]
    groups = [right for right in needed if right.kind == "group"]
    missing = [*_missing(client, kafka, topics), *_missing(client, kafka, groups)]
    if missing:
        raise RightsError(missing_rights(kafka, missing))


def missing_rights(kafka: KafkaConfig, missing: Sequence[Right]) -> str:
    """Return the reason that rights are missing."""
    return (
        f"Kafka's user {kafka.sasl_username or 'of the certificate'} is missing "
        + ", ".join(f"{r.operation} on {r.kind} {kafka.topic(r.name)}" for r in missing)
        + ": grant it the rights listed in docs/kafka.md"
    )


def _on(
    operation: Literal["READ", "WRITE", "DESCRIBE", "CREATE", "DESCRIBE_CONFIGS"], *topics: Topic
) -> tuple[Right, ...]:
    return tuple(Right(operation, "topic", topic.name) for topic in topics)


def _missing(client: Admin, kafka: KafkaConfig, needed: Sequence[Right]) -> Iterable[Right]:
    if not needed:
        return
    names = sorted({_shown(kafka, right) for right in needed})
    options = {"include_authorized_operations": True, "request_timeout": _CALL_S}
    answers = (
        client.describe_topics(TopicCollection(names), **options)
        if needed[0].kind == "topic"
        else client.describe_consumer_groups(names, **options)
    )
    for right in needed:
        try:
            allowed = answers[_shown(kafka, right)].result().authorized_operations
        except KafkaException as error:
            # A topic or group that is missing or not ready is reported by the code that uses it.
            if error.args[0].code() in _REFUSED:
                yield right
        else:
            if allowed is not None and right.operation not in {one.name for one in allowed}:
                yield right


def _shown(kafka: KafkaConfig, right: Right) -> str:
    """Return a name that shows a right: of those that begin with a prefix, the prefix itself."""
    return kafka.topic(right.name).removesuffix("*")
