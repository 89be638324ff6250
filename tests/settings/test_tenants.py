"""Two tenants on one broker and one Redis: neither sees anything of the other's."""

import contextlib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from contracts.messages import Interaction
from contracts.topics import ALL, QUOTES, STREAMED, dead_letters
from infra.local.process import Command
from runtime.kafka import broker as brokers
from runtime.kafka.broker import Admin
from runtime.kafka.config import KafkaConfig
from runtime.kafka.rights import RightsError, User, check_rights, rights
from runtime.topology import Topology
from tests.guarded import Guarded
from tests.integration.conftest import Pipeline
from tests.integration.watched import BASE_MS, counted, quotes
from tests.patience import eventually

pytestmark = pytest.mark.slow

USERS_OF: Final[dict[str, User]] = {"operations.topics": "topics", "worker": "workers"}
"""By the name of a process: each program logs in as a user with no more rights than it needs."""
PARTITIONS: Final = 2


class Tenant(Pipeline):
    """The programs of a tenant, whose namespace and prefix nobody else has."""

    def __init__(
        self, name: str, broker: str, store_url: str, login: Guarded, folder: Path
    ) -> None:
        topology = Topology(**dict.fromkeys((topic.name for topic in STREAMED), PARTITIONS))
        super().__init__(broker, store_url, f"{name}-{uuid.uuid4().hex[:8]}", topology, folder)
        self.kafka = KafkaConfig(bootstrap_servers=broker, prefix=f"{name}.")
        self._login = login

    def command(self, name: str, *arguments: str, **settings: str | int) -> Command:
        """The command that starts a program as its user."""
        login = {k.lower(): v for k, v in self._login.environment(USERS_OF[name]).items()}
        return super().command(
            name, *arguments, kafka_prefix=self.kafka.prefix, **login, **settings
        )

    @contextlib.contextmanager
    def running(self) -> Iterator["Tenant"]:
        """Run a worker on fresh topics."""
        client = brokers.Admin(self.kafka)
        names = {self.kafka.topic(topic.name) for topic in ALL}
        brokers.delete(client, brokers.partitions_of(client).keys() & names)
        self._login.grant(self.namespace, self.kafka.prefix)
        options = [part for t in STREAMED for part in ("--partitions", f"{t.name}={PARTITIONS}")]
        self.run("operations.topics", *options)
        with self.worker():
            yield self

    def letters(self) -> int:
        """Return how many dead letters there are."""
        return sum(brokers.log_ends(self.kafka, dead_letters(t).name, 1)[0] for t in STREAMED)


def test_each_folds_its_own_records_and_no_others(
    broker: str, guarded: Guarded, store_url: str, tmp_path: Path
) -> None:
    sent = {"fox": range(1, 10), "owl": range(5, 20)}
    with contextlib.ExitStack() as owned:
        tenants = {}
        for name, items in sent.items():
            (tmp_path / name).mkdir()
            made = Tenant(name, broker, store_url, guarded, tmp_path / name)
            tenants[name] = owned.enter_context(made.running())
            events = [Interaction(user_id="u", instrument_id=i, ts=BASE_MS) for i in items]
            tenants[name].publish([*quotes(100 * len(items)), *events])
        for name, tenant in tenants.items():
            tenant.wait_until_folded()
            assert counted(tenant) == 100 * len(sent[name])
            assert {item for item, _ in tenant.gram()} == set(sent[name])
            assert tenant.gram() == tenant.gram_of_histories()
        tenants["fox"].publish_raw([(QUOTES.name, b"3", b"neither", None)] * 7)
        eventually(lambda: tenants["fox"].letters() == 7, "all of them among the dead letters")
        assert tenants["owl"].letters() == 0


def test_a_tenants_user_has_no_rights_on_others_topics(guarded: Guarded, namespace: str) -> None:
    guarded.grant(namespace, "fox.")
    config = guarded.config("workers", prefix="owls.")
    with pytest.raises(RightsError, match=r"READ on topic owls\.quotes"):
        check_rights(Admin(config), config, rights(namespace)["workers"])
