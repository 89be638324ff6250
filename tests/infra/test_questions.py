"""The smoke test takes good answers for good, and says what is wrong with the others."""

import json
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.local.questions import Question, Subjects, ask, problem, questions

SUBJECTS = Subjects(instrument_id=4, user_id="user-1", price=30.5)
ASKED = {question.path: question for question in questions(SUBJECTS, now_s=lambda: 1_629_061_628.5)}

BAR = {"t": 60_000, "o": 2.0, "h": 4.0, "l": 1.0, "c": 3.0, "v": 5.0, "n": 2, "vw": 2.5}
LEGACY_BAR = {"instrid": 4, "price_open": 2, "price_high": 4, "price_low": 1, "price_close": 3}
ITEMS = [{"instrument_id": 5, "score": 0.9, "because": [4]}, {"instrument_id": 6, "score": 0.5}]
APPLE = {"instrument_id": 4, "symbol": "AAPL", "name": "Apple Inc."}
TRADE = {"userid": "ABC", "price": "30.5", "instrid": 4, "timestamp": "1629061628"}

GOOD: dict[str, tuple[int, Any]] = {
    "/instruments/4": (200, {"2021-08-16 23:32:00": LEGACY_BAR}),
    "/instruments/similar/4": (200, {"predicted_items": ["0", "5"]}),
    "/instruments/similar/user-1": (200, {"predicted_items": ["5"]}),
    "/add/request": (200, {"resp": TRADE}),
    "/v1/instruments/4/bars?limit=5": (200, {"bars": [BAR, BAR | {"t": 120_000}]}),
    "/v1/bars?instruments=4&start=0&limit=5": (200, {"bars": {"4": [BAR]}}),
    "/v1/quotes/latest?instruments=4": (200, {"quotes": {"4": {"price": 30.5, "ts": 1}}}),
    "/v1/snapshots?instruments=4": (200, {"snapshots": {"4": {"day": BAR}}}),
    "/v1/instruments/4/similar?n=3": (200, {"items": ITEMS}),
    "/v1/instruments?listed=true&n=3": (200, {"items": [APPLE]}),
    "/v1/instruments/4": (200, APPLE),
    "/v1/movers?window=5m&n=3": (200, {"as_of": 60_000, "movers": [{"change": 0.5}]}),
    "/v1/users/user-1/recommendations?n=3": (200, {"items": ITEMS}),
    "/v1/recommendations": (200, {"items": ITEMS}),
    "/v1/recommendations/batch": (
        200,
        {"recommendations": [{"user_id": user, "items": ITEMS} for user in ("user-1", "ABC")]},
    ),
    "/v1/users/user-1/export": (200, {"history": [{}], "last_event_ts": 1}),
    "/v1/models": (200, {"variants": [{"serves": {"generation": "g1"}}]}),
    "/v1/experiments": (200, {"variants": [{"generation": "g1"}]}),
    "/v1/models/decisions?n=3": (200, {"decisions": [{}]}),
    "/v1/pipeline": (200, {"kafka": "ok"}),
    "/v1/users/user-1/history": (200, {"items": [{"instrument_id": 4, "affinity": 1.0}]}),
    "/v1/events": (202, {"quotes": 1, "interactions": 1}),
    "/v1/users/ABC/recommendations?n=3": (200, {"source": "history", "items": ITEMS}),
    "/health/live": (200, {"status": "alive"}),
    "/health/ready": (200, {"status": "ready"}),
    "/metrics": (200, 'api_requests_total{route="/metrics"} 1.0'),
}


def problem_of(path: str, status: int, body: Any) -> str | None:
    return problem(ASKED[path], status, body)


def test_every_documented_endpoint_is_asked() -> None:
    assert ASKED.keys() == GOOD.keys()


@pytest.mark.parametrize("path", GOOD)
def test_a_good_answer_is_taken_for_good(path: str) -> None:
    assert problem_of(path, *GOOD[path]) is None


@pytest.mark.parametrize("path", GOOD)
def test_another_status_is_a_problem(path: str) -> None:
    complaint = problem_of(path, 503, {"title": "Redis does not answer"})
    assert complaint is not None
    assert "status 503" in complaint
    assert "Redis does not answer" in complaint


@pytest.mark.parametrize("path", [path for path in GOOD if path != "/metrics"])
def test_an_answer_of_another_shape_is_a_problem(path: str) -> None:
    for body in ({"unexpected": 1}, [1], {}):
        assert problem_of(path, GOOD[path][0], body) is not None


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("/instruments/4", {}, "no minute"),
        ("/instruments/4", {"2021": LEGACY_BAR | {"price_low": 2.5}}, "low 2.5"),
        ("/instruments/similar/4", {"predicted_items": []}, "empty"),
        ("/instruments/similar/4", {"predicted_items": ["1", "1"]}, "different"),
        ("/add/request", {"resp": TRADE | {"price": "1"}}, "resp"),
        ("/v1/instruments/4/bars?limit=5", {"bars": []}, "no bar"),
        ("/v1/instruments/4/bars?limit=5", {"bars": [BAR, BAR]}, "order of time"),
        ("/v1/instruments/4/bars?limit=5", {"bars": [BAR | {"n": 0}]}, "no quotes"),
        ("/v1/bars?instruments=4&start=0&limit=5", {"bars": {"4": []}}, "no bar"),
        ("/v1/quotes/latest?instruments=4", {"quotes": {"4": {"price": 0}}}, "the price is 0"),
        ("/v1/movers?window=5m&n=3", {"as_of": None, "movers": []}, "no prices are known"),
        ("/v1/recommendations/batch", {"recommendations": []}, "the users"),
        ("/v1/instruments?listed=true&n=3", {"items": []}, "the catalog is empty"),
        ("/v1/instruments/4", APPLE | {"name": ""}, "one has no name"),
        ("/v1/instruments/4/similar?n=3", {"items": ITEMS[::-1]}, "best do not come first"),
        ("/v1/users/ABC/recommendations?n=3", {"source": "popular", "items": ITEMS}, "count yet"),
        (
            "/v1/users/ABC/recommendations?n=3",
            {"source": "history", "items": [ITEMS[0] | {"because": [7]}]},
            "because of [7]",
        ),
        ("/v1/users/user-1/history", {"items": []}, "empty"),
        ("/v1/users/user-1/history", {"items": [{"affinity": 0}]}, "affinity"),
        ("/health/ready", {"status": "starting"}, "starting"),
        ("/metrics", "nothing_total 1", "no request"),
    ],
)
def test_an_implausible_answer_is_a_problem_that_says_what_is_wrong(
    path: str, body: Any, says: str
) -> None:
    complaint = problem_of(path, GOOD[path][0], body)
    assert complaint is not None
    assert says in complaint


@given(prices=st.tuples(*[st.integers(min_value=0, max_value=5)] * 4))
def test_bars_are_plausible_exactly_if_low_and_high_enclose_open_and_close(
    prices: tuple[int, int, int, int],
) -> None:
    low, open_, close, high = prices
    bar = BAR | {"l": low, "o": open_, "c": close, "h": high}
    complaint = problem_of("/v1/instruments/4/bars?limit=5", 200, {"bars": [bar]})
    assert (complaint is None) == (low > 0 and low == min(prices) and high == max(prices))


def test_a_server_that_is_away_is_a_problem() -> None:
    with httpx.Client(base_url="http://127.0.0.1:1") as client:
        given_ = ask(client, ASKED["/health/live"])
    assert given_.status is None
    assert given_.problem is not None
    assert given_.problem.startswith("no answer")


def test_the_curl_command_asks_the_same_question() -> None:
    get: Question = ASKED["/v1/instruments/4/bars?limit=5"]
    assert get.curl("http://api") == "curl 'http://api/v1/instruments/4/bars?limit=5'"
    post = ASKED["/add/request"]
    command, url, option, body = post.curl("http://api").split(" ", 3)
    assert (command, url, option) == ("curl", "http://api/add/request", "--json")
    assert json.loads(body.strip("'")) == post.body
