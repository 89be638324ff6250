"""The API as a function of AWS Lambda: events of API Gateway in, answers out, on the real store."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from api import aws_lambda
from api.app import wall_clock_ms
from contracts.bars import BarValue
from runtime.topology import Topology

from .conftest import Filled

Ask = Callable[..., dict[str, Any]]


def event(target: str, *, method: str = "GET", body: str | None = None) -> dict[str, Any]:
    """Return a request as sent by an HTTP API of API Gateway, in format 2.0."""
    path, _, query = target.partition("?")
    http = {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "203.0.113.7"}
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": {"host": "api.example", "content-type": "application/json"},
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "api",
            "domainName": "api.example",
            "http": {**http, "userAgent": "curl"},
            "requestId": "id",
            "routeKey": "$default",
            "stage": "$default",
            "timeEpoch": wall_clock_ms(),
        },
        "isBase64Encoded": False,
        **({} if body is None else {"body": body}),
    }


@pytest.fixture
def ask(
    monkeypatch: pytest.MonkeyPatch, store_url: str, broker: str, filled: Filled
) -> Iterator[Ask]:
    """Call the handler in a separate thread, as it has its own event loop."""
    monkeypatch.setenv("REDIS_URL", store_url)
    monkeypatch.setenv("NAMESPACE", filled.keys.namespace)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", broker)
    monkeypatch.setattr(aws_lambda, "configure_logs", lambda *_: None)  # those of this process
    aws_lambda._function.cache_clear()
    with ThreadPoolExecutor(max_workers=1) as thread:

        def answer(target: str, **rest: Any) -> dict[str, Any]:
            return thread.submit(aws_lambda.handler, event(target, **rest), None).result()

        yield answer
        thread.submit(lambda: aws_lambda._function().close()).result()
    aws_lambda._function.cache_clear()


def test_it_reads_also_once_its_connections_were_lost_while_it_was_frozen(
    ask: Ask, filled: Filled
) -> None:
    minute = wall_clock_ms() // 60_000 * 60
    filled.bars(4, {minute - 60: BarValue(10, 12, 9, 11, 0, 3, 0, 0, 0, (0, 0))})
    filled.generation("g1", {"4": [("5", 0.5, 1.0), ("6", 0.25, 1.0)]})
    filled.history("ABC", {"4": (1, 1)}, off=1)

    answer = ask("/instruments/4")
    assert (answer["statusCode"], answer["isBase64Encoded"]) == (200, False)
    assert answer["headers"]["content-type"] == "application/json"
    (bar,) = json.loads(answer["body"]).values()
    assert bar["price_close"] == 11
    for similar_to in ("4", "ABC"):
        answer = ask(f"/instruments/similar/{similar_to}")
        assert json.loads(answer["body"]) == {"predicted_items": ["5", "6"]}
        for client in filled.store.client_list():
            if client["name"] != "tests":
                filled.store.client_kill_filter(_id=client["id"])
    answer = json.loads(ask("/v1/instruments/4/similar?n=1")["body"])
    assert [item["instrument_id"] for item in answer["items"]] == [5]
    answer = ask("/instruments/7")
    assert answer["statusCode"] == 404
    assert answer["headers"]["content-type"] == "application/problem+json"
    assert json.loads(answer["body"])["type"] == "urn:tickrec:problem:unknown-instrument"


def test_the_first_versions_request_that_writes(ask: Ask, topology: Topology) -> None:
    body = {"userid": "ABC", "price": "10.273", "timestamp": str(int(time.time())), "instrid": 4}
    answer = ask("/add/request", method="POST", body=json.dumps(body))
    assert (answer["statusCode"], json.loads(answer["body"])) == (200, {"resp": body})
