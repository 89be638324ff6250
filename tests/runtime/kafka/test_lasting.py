"""An admin client that has stopped answering is replaced."""

from concurrent.futures import Future

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicCollection

from infra.local.process import free_port
from runtime.kafka.broker import Admin
from runtime.kafka.config import plain
from runtime.kafka.lasting import FAILURES, LastingAdmin
from tests.patience import PATIENCE_S

SHORT_S = 0.05


@pytest.fixture
def lasting() -> LastingAdmin:
    return LastingAdmin(plain(f"127.0.0.1:{free_port()}"))


def never(_: Admin) -> list[Future[str]]:
    return [Future()]


def at_once(_: Admin) -> list[Future[str]]:
    answer: Future[str] = Future()
    answer.set_result("an answer")
    return [answer]


def refused(_: Admin) -> list[Future[str]]:
    answer: Future[str] = Future()
    answer.set_exception(KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)))
    return [answer]


async def test_a_client_that_never_answers_or_reaches_no_broker_is_replaced_after_a_few_failures(
    lasting: LastingAdmin,
) -> None:
    first = lasting.client
    for _ in range(FAILURES):
        assert lasting.client is first
        with pytest.raises(KafkaException, match="has not answered in"):
            await lasting.ask(never, SHORT_S)
    second = lasting.client
    for _ in range(FAILURES):
        assert lasting.client is second is not first
        (answer,) = await lasting.ask(
            lambda admin: admin.describe_topics(
                TopicCollection(["any"]), request_timeout=SHORT_S
            ).values(),
            PATIENCE_S,
        )
        assert isinstance(answer, KafkaException)
    assert lasting.client is not second


@pytest.mark.parametrize("said", [at_once, refused])
def test_a_client_is_kept_as_long_as_a_broker_answers(lasting: LastingAdmin, said: object) -> None:
    first = lasting.client
    for _ in range(FAILURES):
        for _ in range(FAILURES - 1):
            with pytest.raises(KafkaException):
                lasting.ask_now(never, SHORT_S)
        lasting.ask_now(said, SHORT_S)  # type: ignore[arg-type]
    assert lasting.client is first
    lasting.close().join(PATIENCE_S)
    with pytest.raises(KafkaException):
        _ = lasting.client
