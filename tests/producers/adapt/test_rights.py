"""`adapt` on a Kafka with logins, and with the rights that docs/kafka.md lists and no others."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.topics import INSTRUMENTS, QUOTES
from infra.local.kafka.secured import grant, revoke
from infra.local.process import start
from runtime.kafka.broker import admin
from runtime.kafka.config import KafkaConfig
from runtime.kafka.rights import Right, rights, transactions_of
from runtime.topology import Topology
from tests.guarded import Guarded
from tests.integration.conftest import dead_letters
from tests.patience import PATIENCE_S

from .conftest import Company
from .test_adapting import TICKS, catalog, quotes, ticks

pytestmark = pytest.mark.kafka_only


@pytest.fixture
def company(guarded: Guarded, broker: str, topology: Topology, tmp_path: Path) -> Iterator[Company]:
    """A company whose copies log in as `adapter`, with the rights on the group of its mapping."""
    company = Company(broker, tmp_path)
    company.settings |= guarded.environment("adapter")
    topic = company.topic("ticks")
    company.map(TICKS.format(topic=topic))
    own = [right for right in rights("")["adapter"] if right.kind == "topic"]
    granted = [*own, *transactions_of(company.prefix), Right("READ", "topic", topic)]
    grant(admin(company.kafka), KafkaConfig(), "adapter", granted)
    yield company
    company.delete_topics()


def test_with_its_rights_it_publishes_quotes_and_dead_letters(company: Company) -> None:
    catalog(company)
    company.publish(company.topics[0], [*ticks(20), (b"?", b"{")])
    with company.copies("one", "two"):
        company.wait_until_read()
    assert sum(map(len, quotes(company).values())) == 20
    assert len(dead_letters(company.kafka.bootstrap_servers, QUOTES.name)) == 1


@pytest.mark.parametrize("kind", ["topic", "catalog", "group", "transactional_id", "source"])
def test_a_right_that_is_missing_is_named(company: Company, kind: str) -> None:
    topic = company.topics[0]
    missing = {
        "topic": Right("WRITE", "topic", QUOTES.name),
        "catalog": Right("READ", "topic", INSTRUMENTS.name),
        "source": Right("READ", "topic", topic),
        **{right.kind: right for right in transactions_of(company.prefix)},
    }[kind]
    revoke(admin(company.kafka), KafkaConfig(), "adapter", missing)
    company.publish(topic, ticks(1))
    try:
        company.settings["DELIVERY_TIMEOUT_S"] = "10"
        command = company.command("one")
        assert start(command).wait(PATIENCE_S) == 1
        said = command.log.read_text()
        assert missing.name.removesuffix("*") in said
        assert "docs/kafka.md" in said
    finally:
        grant(admin(company.kafka), KafkaConfig(), "adapter", [missing])


def test_a_wrong_password_is_named(company: Company) -> None:
    company.settings["KAFKA_SASL_PASSWORD"] = "guessed"
    command = company.command("one")
    assert start(command).wait(PATIENCE_S) == 1
    assert "KAFKA_SASL_PASSWORD" in command.log.read_text()
