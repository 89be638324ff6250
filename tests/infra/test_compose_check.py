"""How the Compose check judges its inputs, without an engine of containers."""

from collections import Counter
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml
from confluent_kafka import Producer

from contracts.keyspace import NEXT_FIELD, Keyspace
from contracts.topics import QUOTES
from infra.compose_check import folding
from infra.compose_check.comparing import changes
from infra.compose_check.engine import CheckError, Container
from infra.compose_check.folding import unshared
from infra.compose_check.serving import JOBS, not_up, upstreams
from infra.compose_check.stack import Stack, override_of
from infra.compose_check.waiting import until_well
from runtime.redis.stores import Store
from tests.conftest import TopicsFactory

PARTITIONS = {"quotes/0", "quotes/1"}
RUNNING = Container("c1", "worker", "running", "healthy", 0, 0, "172.18.0.2", ())


def worker(**states: str) -> dict[str, Any]:
    return {"partitions": {f"quotes/{name[1:]}": {"state": of} for name, of in states.items()}}


def test_partitions_are_shared_if_each_is_folded_once_and_each_worker_folds_some() -> None:
    assert unshared(PARTITIONS, 2, [worker(p0="folding"), worker(p1="flushing")]) is None


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ([worker(p0="folding")], "1 workers run instead of 2"),
        ([worker(p0="folding"), worker(p1="claiming")], "1 of 2 partitions are not folded"),
        (
            [worker(p0="folding"), worker(p0="folding", p1="folding")],
            "by several workers: quotes/0",
        ),
        ([worker(p0="folding", p1="folding"), worker()], "a worker has no partition"),
    ],
)
def test_what_is_not_shared_is_named(said: list[dict[str, Any]], problem: str) -> None:
    assert problem in (unshared(PARTITIONS, 2, said) or "")


def test_prometheus_sees_each_container_up_and_no_other() -> None:
    running = Counter(dict.fromkeys(JOBS, 1) | {"api": 2, "kafka": 1})
    targets = [
        {"labels": {"job": job}, "health": "up", "scrapeUrl": f"http://{job}", "lastError": ""}
        for job in (*JOBS, "api")
    ]

    def said(targets: list[dict[str, Any]]) -> dict[str, Any]:
        return {"data": {"activeTargets": targets}}

    assert not_up(said(targets), running) is None
    assert not_up(said(targets[:-1]), running) == "targets that are up: api: 1 of 2"
    down = targets[0] | {"health": "down", "lastError": "connection refused"}
    assert not_up(said([down, *targets[1:]]), running) == "http://worker: connection refused"


def test_the_log_of_nginx_names_every_process_that_was_asked() -> None:
    log = (
        '{"tickrec":{"upstream":"172.18.0.5:8000"}}\n'
        '{"tickrec":{"upstream":"172.18.0.6:8000, 172.18.0.7:8000"}}\n'
        '{"tickrec":{"upstream":""}}\n'
        "not a request\n"
    )
    assert upstreams(log) == {"172.18.0.5", "172.18.0.6", "172.18.0.7"}


def test_a_container_is_well_if_it_is_healthy_or_has_done_its_job() -> None:
    assert RUNNING.is_well
    assert replace(RUNNING, status="exited", health="exited").is_well
    assert not replace(RUNNING, status="exited", health="exited", exit_code=137).is_well
    assert not replace(RUNNING, health="starting").is_well


def test_the_override_names_images_and_leaves_grafana_out() -> None:
    class Loader(yaml.SafeLoader):
        pass

    Loader.add_constructor("!override", lambda loader, node: loader.construct_sequence(node))
    services = yaml.load(override_of({"api": "x/tickrec/api:1.0.0"}), Loader)["services"]

    assert services == {
        "api": {"image": "x/tickrec/api:1.0.0"},
        "grafana": {"profiles": ["grafana"]},
    }


def test_a_wait_ends_with_the_last_problem() -> None:
    seen = iter(["lag 3", None])
    until_well(lambda: next(seen), within_s=10)

    with pytest.raises(CheckError, match="still so after 0 s: lag 4"):
        until_well(lambda: "lag 4", within_s=0)


def test_logs_are_folded_once_redis_has_the_position_at_each_end(
    broker: str,
    store_url: str,
    store: Store,
    keyspace: Keyspace,
    topics: TopicsFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    topics(partitions=QUOTES.partitions)
    producer = Producer({"bootstrap.servers": broker})
    for _ in range(3):
        producer.produce(QUOTES.name, b"{}", partition=5)
    producer.flush()
    monkeypatch.setattr(folding, "NAMESPACE", keyspace.namespace)
    problem = folding.folded(cast("Stack", SimpleNamespace(kafka=broker, redis=store_url)))

    store.hset(keyspace.position(QUOTES, 5), NEXT_FIELD, 1)
    assert problem() == "2 records of quotes are not folded"
    store.hset(keyspace.position(QUOTES, 5), NEXT_FIELD, 3)
    assert problem() is None


def test_what_changed_of_an_answer_is_named_with_its_place() -> None:
    before = {"/v1/x": {"as_of": 1, "bars": [{"n": 1}, {"n": 2}]}}
    after = {"/v1/x": {"as_of": 1, "bars": [{"n": 1}, {"n": 3}], "gap": 5}}

    assert changes(before, before) == []
    assert changes(before, after) == [
        "/v1/x bars[1]: {'n': 2}, now {'n': 3}",
        "/v1/x gap: None, now 5",
    ]
