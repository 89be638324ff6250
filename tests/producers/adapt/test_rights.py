"""`adapt` on a Kafka with logins, and with the rights that docs/kafka.md lists and no others."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.topics import INSTRUMENTS, QUOTES
from infra.local.kafka.secured import grant, revoke
from producers.adapt import command
from runtime.kafka.broker import Admin
from runtime.kafka.config import KafkaConfig
from runtime.kafka.rights import Right, rights, transactions_of
from runtime.topology import Topology
from tests.guarded import Guarded
from tests.integration.conftest import dead_letters

from .conftest import TICKS, Company, catalog, quotes, ticks

pytestmark = pytest.mark.kafka_only


@pytest.fixture
def company(guarded: Guarded, broker: str, topology: Topology, tmp_path: Path) -> Iterator[Company]:
    """A company whose copies log in as `adapter`, with the rights on the group of its mapping."""
    company = Company(broker, tmp_path)
    company.login = guarded.config("adapter")
    topic = company.topic("ticks")
    company.map(TICKS.format(topic=topic))
    own = [right for right in rights("")["adapter"] if right.kind == "topic"]
    granted = [*own, *transactions_of(company.prefix), Right("READ", "topic", topic)]
    grant(Admin(company.kafka), KafkaConfig(), "adapter", granted)
    yield company
    company.delete_topics()


def test_with_its_rights_it_publishes_quotes_and_dead_letters(company: Company) -> None:
    catalog(company)
    company.publish(company.topics[0], [*ticks(20), (b"?", b"{")])
    with company.copies("one", "two"):
        company.wait_until_read()
    assert sum(map(len, quotes(company).values())) == 20
    assert len(dead_letters(company.kafka.bootstrap_servers, QUOTES.name)) == 1


def test_a_right_that_is_missing_is_named(company: Company) -> None:
    for missing in (
        Right("WRITE", "topic", QUOTES.name),
        Right("READ", "topic", INSTRUMENTS.name),
        Right("READ", "topic", company.topics[0]),
        *transactions_of(company.prefix),
    ):
        revoke(Admin(company.kafka), KafkaConfig(), "adapter", missing)
        try:
            with pytest.raises(command._ERRORS) as refused, company.connected():
                pass
        finally:
            grant(Admin(company.kafka), KafkaConfig(), "adapter", [missing])
        said = command._why(refused.value)
        assert missing.name.removesuffix("*") in said
        assert "docs/kafka.md" in said
