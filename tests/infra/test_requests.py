"""The smoke asks every endpoint once, and reports what is wrong with an answer."""

from typing import Final

import pytest

from api.app import create_app
from api.settings import ApiSettings
from infra.local.asking import problem
from infra.local.requests import Request, Subjects, requests
from tests.described import SWITCHING_PROTOCOLS, Operation, operations

SUBJECTS: Final = Subjects(4, "user-1", 30.5, "default.g1.model.x", 5)
ALL: Final = [*requests(SUBJECTS)]
OPERATIONS: Final = [*operations(create_app(ApiSettings()).openapi())]


def operation_of(request: Request) -> Operation:
    (found,) = [o for o in OPERATIONS if o.arguments(request.method, request.path) is not None]
    return found


def test_every_endpoint_is_asked_once_for_its_success() -> None:
    asked = [str(operation_of(request)) for request in ALL]
    assert sorted(asked) == sorted(map(str, OPERATIONS))
    for request in ALL:
        status = operation_of(request).status
        # A plain request opens no WebSocket.
        assert request.status == (426 if status == SWITCHING_PROTOCOLS else status), request


@pytest.mark.parametrize("request_", ALL, ids=str)
def test_an_example_is_right_and_another_status_or_no_answer_is_not(request_: Request) -> None:
    if request_.until is None and request_.status < 300:
        assert problem(request_, request_.status, operation_of(request_).answer) is None
    assert "status 503" in (problem(request_, 503, {"title": "Redis does not answer"}) or "")
    assert problem(request_, request_.status, {}) is not None
