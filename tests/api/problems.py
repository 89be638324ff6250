"""What the tests read of an answer that is a problem."""

import httpx


def problem(answer: httpx.Response) -> tuple[int, str]:
    """Return its status and the last part of its type."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    assert answer.json()["status"] == answer.status_code
    return answer.status_code, slug(answer)


def slug(answer: httpx.Response) -> str:
    """Return the last part of its type."""
    kind: str = answer.json()["type"]
    return kind.removeprefix("urn:tickrec:problem:")


def refused_fields(answer: httpx.Response) -> list[str]:
    """Return the fields that break a rule; the answer must be 422."""
    assert answer.status_code == 422, answer.text
    return [error["field"] for error in answer.json()["errors"]]
