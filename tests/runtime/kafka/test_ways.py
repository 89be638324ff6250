"""Each way to log in at Kafka, by both clients; and what is said where it lets nobody in."""

import re
import time
from pathlib import Path

import pytest
import trustme
from confluent_kafka import Producer as Librdkafka
from pydantic import SecretStr

import producers.publisher
import stream_processors.__main__
from api.events.producer import LastingProducer
from api.health.kafka_check import KafkaCheck
from api.health.log_ends import LogWatch
from contracts.topics import QUOTES
from infra.local.kafka.secured import grant, revoke
from producers.publisher import PublishingError
from runtime.kafka.broker import Admin, BrokerError, partitions_of
from runtime.kafka.config import plain
from runtime.kafka.rights import RightsError, User, check_rights, rights
from runtime.kafka.tokens import TokenError
from runtime.topology import Topology
from runtime.tracing import OFF
from stream_processors.settings import Settings
from stream_processors.transport.producer import Producer
from tests.guarded import WAYS, Guarded, Way
from tests.patience import PATIENCE_S, until, until_true


@pytest.fixture
def granted(guarded: Guarded, topology: Topology, namespace: str) -> Guarded:
    guarded.grant(namespace)
    return guarded


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.kafka.broker._ASKED_AGAIN_S", 0.5)


@pytest.mark.parametrize("way", WAYS)
async def test_both_clients_log_in(granted: Guarded, namespace: str, way: Way) -> None:
    as_worker = granted.config("workers", way)
    check_rights(Admin(as_worker), as_worker, rights(namespace)["workers"])
    producer = Producer(as_worker)
    await producer.start()
    try:
        await producer.publish("cooccurrences", 0, b"from aiokafka")
    finally:
        await producer.stop()
    published = Librdkafka(granted.config("producers", way).librdkafka())
    failures: list[object] = []
    published.produce(QUOTES.name, b"from librdkafka", on_delivery=lambda e, _: failures.append(e))
    assert published.flush(PATIENCE_S) == 0
    assert failures == [None]


@pytest.mark.parametrize(
    ("way", "wrong", "says"),
    [
        ("scram-512", {"sasl_password": SecretStr("guessed")}, "KAFKA_SASL_PASSWORD to one of"),
        ("scram-512", {"sasl_username": "nobody"}, "KAFKA_SASL_USERNAME and"),
        ("unencrypted", {"sasl_mechanism": "PLAIN"}, "set KAFKA_SASL_MECHANISM to the broker's"),
        ("scram-512", {"ssl_ca_file": "another"}, "KAFKA_SSL_CA_FILE to the authority"),
        ("oauthbearer", {"sasl_token_scope": "short"}, "KAFKA_SASL_MECHANISM"),
        ("oauthbearer", {"sasl_password": SecretStr("guessed")}, "are KAFKA_SASL_USERNAME"),
        ("oauthbearer", {"sasl_token_url": "broker"}, "KAFKA_SASL_TOKEN_URL"),
    ],
)
def test_a_refused_login_says_what_to_do(
    guarded: Guarded, tmp_path: Path, way: Way, wrong: dict[str, object], says: str
) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "another.pem")
    if wrong.get("ssl_ca_file"):
        wrong = wrong | {"ssl_ca_file": tmp_path / "another.pem"}
    config = guarded.config("workers", way)
    if wrong.get("sasl_token_url"):
        wrong = wrong | {"sasl_token_url": f"http://{config.bootstrap_servers}"}
    with pytest.raises((BrokerError, TokenError)) as refused:
        partitions_of(Admin(config.model_copy(update=wrong)))
    assert says in str(refused.value)
    assert "guessed" not in str(refused.value)


@pytest.mark.parametrize(
    ("way", "wrong"),
    [
        ("certificate", {"ssl_certificate_file": None, "ssl_key_file": None}),
        ("scram-512", {"security_protocol": "PLAINTEXT", "sasl_mechanism": None}),
    ],
)
def test_a_listener_that_hangs_up_is_named_with_what_it_may_want(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch, way: Way, wrong: dict[str, object]
) -> None:
    monkeypatch.setattr("runtime.kafka.broker._CALL_S", 1)
    config = guarded.config("workers", way).model_copy(update=wrong)
    with pytest.raises(BrokerError, match=rf"{config.bootstrap_servers}.*KAFKA_SECURITY_PROTOCOL"):
        partitions_of(Admin(config))


@pytest.mark.parametrize("user", ["workers", "operator"])
def test_only_the_missing_right_is_named(granted: Guarded, namespace: str, user: User) -> None:
    own, config = plain(granted.own_address), granted.config(user)
    # Those on transactional ids cannot be looked up.
    needed = [right for right in rights(namespace)[user] if right.kind != "transactional_id"]
    check_rights(Admin(config), config, needed)
    for right in needed:
        revoke(Admin(own), own, user, right)
        message = f"user {user} is missing {right.operation} on {right.kind} {right.name}: grant it"
        with pytest.raises(RightsError, match=re.escape(message)):
            check_rights(Admin(config), config, needed)
        grant(Admin(own), own, user, [right])


def test_a_right_on_unprefixed_topics_does_not_cover_prefixed_ones(
    granted: Guarded, namespace: str
) -> None:
    # Of the test's own: another test may have granted rights on the same broker's others.
    config = granted.config("producers", prefix=f"{namespace}.")
    message = f"WRITE on topic {namespace}.quotes, WRITE on topic {namespace}.interactions"
    with pytest.raises(RightsError, match=re.escape(message)):
        check_rights(Admin(config), config, rights(namespace)["producers"])


async def test_a_worker_without_its_rights_does_not_start_and_says_so(
    granted: Guarded, store_url: str, namespace: str
) -> None:
    kafka = granted.config("producers")
    settings = Settings(kafka=kafka, redis_url=store_url, namespace=namespace)
    missing = "user producers is missing READ on topic quotes, READ on topic interactions"
    with pytest.raises(RightsError, match=missing) as refused:
        await stream_processors.__main__._connect(settings, OFF)
    assert granted.security.passwords["producers"] not in str(refused.value)


async def test_an_api_that_may_not_publish_is_not_ready(
    granted: Guarded, topology: Topology
) -> None:
    producer = LastingProducer(granted.config("trainer"))
    check = KafkaCheck(producer)
    missing = "Kafka's user trainer is missing WRITE on topic quotes, WRITE on topic int"

    @until_true  # it has half a second to ask Kafka each time
    async def said() -> None:
        assert (await check.result(topology)).startswith(missing)

    async with producer.running():
        await said()
        await until(lambda: producer.failure() is not None, "Kafka refuses an idempotent producer")
        await said()


def test_a_producer_that_may_not_publish_says_so(granted: Guarded) -> None:
    publisher = producers.publisher.Publisher(granted.config("trainer"), PATIENCE_S)
    with pytest.raises(
        PublishingError, match="user trainer is missing WRITE on topic quotes: grant it"
    ):
        publisher.await_topics([QUOTES.name], lambda: False)


async def test_an_api_that_gets_no_token_says_so_of_the_logs_and_does_not_wait(
    guarded: Guarded, topology: Topology
) -> None:
    config = guarded.config("api", "oauthbearer", sasl_token_url="http://127.0.0.1:9/token")
    watch = LogWatch(config, time.monotonic)
    said = (await watch.ends(topology)).failure
    assert said is not None
    assert said.startswith("http://127.0.0.1:9/token (KAFKA_SASL_TOKEN_URL): ")
