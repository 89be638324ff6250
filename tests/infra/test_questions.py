"""The smoke test accepts good responses, and reports what is wrong with others."""

import inspect
import json
from typing import Any, Final

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.app import create_app
from api.settings import ApiSettings
from infra.local.asking import ask, problem
from infra.local.calling import call_of
from infra.local.described import operations
from infra.local.questions import asks, questions
from infra.local.subjects import Subjects
from tickrec_client import Tickrec

APP: Final = create_app(ApiSettings())
EXAMPLES: Final = {
    str(endpoint): json.loads(msgspec.json.encode(endpoint.success.example))
    for endpoint in APP.state.table
}
DOCUMENT: Final = APP.openapi()
SUBJECTS = Subjects(
    instrument_id=4, user_id="user-1", price=30.5, request_id="default.g1.model.x", recommended=5
)
ALL = [*questions(SUBJECTS, DOCUMENT, now_s=lambda: 1_629_061_628.5)]
ASKED = {f"{question} {question.status}": question for question in ALL}

BAR = {"t": 60_000, "o": 2.0, "h": 4.0, "l": 1.0, "c": 3.0, "v": 5.0, "n": 2, "vw": 2.5}
LEGACY_BAR = {"instrid": 4, "price_open": 2, "price_high": 4, "price_low": 1, "price_close": 3}
ITEMS = [{"instrument_id": 5, "score": 0.9, "because": [4]}, {"instrument_id": 6, "score": 0.5}]
APPLE = {"instrument_id": 4, "symbol": "AAPL", "name": "Apple Inc."}
TRADE = {"userid": "ABC", "price": "30.5", "instrid": 4, "timestamp": "1629061628"}

LIVE_BAR = json.dumps(BAR | {"instrument_id": 4})
STREAM = f"retry: 2000\n\nevent: bar\ndata: {LIVE_BAR}\n\nevent: live\ndata: {{}}\nid: 7\n"
LIVE_QUOTE = '{"price":3.0,"ts":61000,"instrument_id":4}'
STREAMED_QUOTE = f"event: quote\ndata: {LIVE_QUOTE}\n\nevent: live\ndata: {{}}\nid: 7\n"
PROBLEM = "urn:tickrec:problem:"
UNKNOWN = f"{PROBLEM}unknown-"
NEW = {"instrument_id": 1_000_000}

OTHERS: dict[str, Any] = {
    "POST /add/request 200": {"resp": TRADE},
    "GET /v1/stream/bars?instruments=4 200": STREAM,
    "GET /v1/stream/quotes?instruments=4 200": STREAMED_QUOTE,
    "GET /v1/stream 426": {"type": f"{PROBLEM}upgrade-required"},
    "PUT /v1/instruments/1000000 202": NEW,
    "PUT /v1/instruments 202": {"instruments": 1},
    "DELETE /v1/instruments/1000000 202": NEW,
    "GET /v1/instruments/NEW 404": {"type": f"{UNKNOWN}instrument"},
    "POST /v1/recommendations/batch 200": {
        "recommendations": [{"user_id": user, "items": ITEMS} for user in ("user-1", "ABC")]
    },
    "GET /v1/users/ABC/history 404": {"type": f"{UNKNOWN}user"},
}
"""Good answers that the examples are not: the questions' own values are in them."""


def good_answer(name: str) -> Any:
    """Return an answer that a question accepts: the example of its endpoint, or another one."""
    if name in OTHERS:
        return OTHERS[name]
    (found,) = (str(of) for of in operations(DOCUMENT) if asks(ASKED[name], of))
    return EXAMPLES[found]


GOOD = {name: good_answer(name) for name in ASKED}


def problem_of(name: str, status: int, body: Any) -> str | None:
    return problem(ASKED[name], status, body)


def test_every_endpoint_of_the_table_is_asked() -> None:
    missing = [
        str(of) for of in operations(DOCUMENT) if not any(asks(question, of) for question in ALL)
    ]
    assert missing == []
    assert len(ASKED) == len(ALL)


def test_every_operation_below_v1_is_called_through_the_package() -> None:
    calls = [found for question in ALL if (found := call_of(question, DOCUMENT))]
    called = {operation.name for operation, _ in calls}
    assert called == {of.name for of in operations(DOCUMENT) if of.path.startswith("/v1/")}
    for operation, arguments in calls:
        taken = inspect.signature(getattr(Tickrec, operation.name)).parameters
        assert arguments.keys() <= taken.keys(), operation.name


@pytest.mark.parametrize("name", GOOD)
def test_a_good_answer_is_accepted(name: str) -> None:
    assert problem_of(name, ASKED[name].status, GOOD[name]) is None


@pytest.mark.parametrize("name", GOOD)
def test_another_status_is_a_problem(name: str) -> None:
    complaint = problem_of(name, 503, {"title": "Redis does not answer"})
    assert complaint is not None
    assert "status 503" in complaint
    assert "Redis does not answer" in complaint


@pytest.mark.parametrize("name", [name for name, good in GOOD.items() if not isinstance(good, str)])
def test_an_answer_of_another_shape_is_a_problem(name: str) -> None:
    for body in ({"unexpected": 1}, [1], {}):
        assert problem_of(name, ASKED[name].status, body) is not None


@pytest.mark.parametrize(
    ("name", "body", "says"),
    [
        ("GET /instruments/4 200", {}, "no minute"),
        ("GET /instruments/4 200", {"2021": LEGACY_BAR | {"price_low": 2.5}}, "low 2.5"),
        ("GET /instruments/similar/4 200", {"predicted_items": []}, "empty"),
        ("GET /instruments/similar/4 200", {"predicted_items": ["1", "1"]}, "different"),
        ("POST /add/request 200", {"resp": TRADE | {"price": "1"}}, "resp"),
        ("GET /v1/instruments/4/bars?limit=5 200", {"bars": []}, "no bar"),
        ("GET /v1/instruments/4/bars?limit=5 200", {"bars": [BAR, BAR]}, "order of time"),
        ("GET /v1/instruments/4/bars?limit=5 200", {"bars": [BAR | {"n": 0}]}, "no quotes"),
        ("GET /v1/bars?instruments=4&start=0&limit=5 200", {"bars": {"4": []}}, "no bar"),
        ("GET /v1/quotes/latest?instruments=4 200", {"quotes": {}, "unknown": ["4"]}, "is empty"),
        ("GET /v1/quotes/latest?instruments=4 200", {"quotes": {"4": {}}}, "without unknown"),
        ("GET /v1/movers?window=5m&n=3 200", {"as_of": None, "movers": []}, "no prices are known"),
        ("POST /v1/recommendations/batch 200", {"recommendations": []}, "the users"),
        ("GET /v1/instruments/4 200", APPLE | {"name": ""}, "no name"),
        ("GET /v1/instruments/4/similar?n=3 200", {"items": ITEMS[::-1]}, "best do not come first"),
        (
            "GET /v1/users/ABC/recommendations?n=3 200",
            {"source": "popular", "items": ITEMS},
            "count yet",
        ),
        (
            "GET /v1/users/ABC/recommendations?n=3 200",
            {"source": "history", "items": [ITEMS[0] | {"because": [7]}]},
            "because of [7]",
        ),
        ("GET /v1/users/user-1/history 200", {"user_id": "user-1", "items": []}, "items is empty"),
        ("GET /v1/stream/bars?instruments=4 200", STREAM.replace("live", "stale"), "the events"),
        ("GET /v1/stream/bars?instruments=4 200", STREAM.replace("id: 7\n", ""), "has no id"),
        (
            "GET /v1/stream/quotes?instruments=4 200",
            STREAMED_QUOTE.replace("3.0", "0"),
            "not a quote",
        ),
        (
            "GET /v1/users/ABC/history 404",
            {"type": "urn:tickrec:problem:not-found"},
            "unknown-user",
        ),
        ("GET /metrics 200", "nothing_total 1", "no request"),
    ],
)
def test_an_implausible_answer_is_a_problem_that_says_what_is_wrong(
    name: str, body: Any, says: str
) -> None:
    complaint = problem_of(name, ASKED[name].status, body)
    assert complaint is not None
    assert says in complaint


@given(prices=st.tuples(*[st.integers(min_value=0, max_value=5)] * 4))
def test_bars_are_plausible_exactly_if_low_and_high_enclose_open_and_close(
    prices: tuple[int, int, int, int],
) -> None:
    low, open_, close, high = prices
    bar = BAR | {"l": low, "o": open_, "c": close, "h": high}
    complaint = problem_of("GET /v1/instruments/4/bars?limit=5 200", 200, {"bars": [bar]})
    assert (complaint is None) == (low > 0 and low == min(prices) and high == max(prices))


def test_a_server_that_is_away_is_a_problem() -> None:
    with httpx.Client(base_url="http://127.0.0.1:1") as client:
        given_ = ask(client, ASKED["GET /health/live 200"])
    assert given_.status is None
    assert given_.problem is not None
    assert given_.problem.startswith("no answer")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("GET /v1/instruments/4/bars?limit=5 200", "'http://api/v1/instruments/4/bars?limit=5'"),
        ("GET /v1/stream/bars?instruments=4 200", "-N 'http://api/v1/stream/bars?instruments=4'"),
        ("DELETE /v1/users/ABC 202", "-X DELETE http://api/v1/users/ABC"),
    ],
)
def test_the_curl_command_asks_the_same_question(name: str, words: str) -> None:
    assert ASKED[name].curl("http://api") == f"curl {words}"


def test_the_curl_command_of_a_post_has_its_body() -> None:
    post = ASKED["POST /add/request 200"]
    command, url, option, body = post.curl("http://api").split(" ", 3)
    assert (command, url, option) == ("curl", "http://api/add/request", "--json")
    assert json.loads(body.strip("'")) == post.body
