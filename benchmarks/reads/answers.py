"""Whether servers answer as they are to: what is compared must be worth comparing."""

import math
import time
from collections.abc import Sequence
from typing import Any, Final

import httpx
import tenacity

from benchmarks.harness.contender import ContenderError
from benchmarks.reads.scene import ReadServer
from contracts.times import MINUTE_S
from infra.local.process import LOOPBACK

SAMPLED: Final = 20
_TRY_FOR_S: Final = 10
_TRY_EVERY_S: Final = 0.1
_RELATIVE: Final = 1e-9
"""by which sums may differ that were added in another order"""


def check_same(paths: Sequence[str], ours: ReadServer, theirs: ReadServer) -> None:
    """Compare the answers to some of the paths; ours may say more, and nothing else.

    Raises:
        ContenderError: one is refused, or differs.
    """
    with httpx.Client() as client:
        for path in _sampled(paths):
            ours_said, they_said = _answers(client, path, ours, theirs)
            if not covers(ours_said, they_said):
                raise ContenderError(
                    f"{path} is answered differently: {ours.name} says {ours_said}, "
                    f"{theirs.name} {they_said}"
                )


def check_source(paths: Sequence[str], server: ReadServer, source: str) -> None:
    """Check that recommendations come from what is to be measured.

    Raises:
        ContenderError: some are refused, or come from elsewhere.
    """
    with httpx.Client() as client:
        for path in _sampled(paths):
            found = _answer(client, path, server)["source"]
            if found != source:
                raise ContenderError(f"{path} is answered from {found}, not from {source}")


def _sampled(paths: Sequence[str]) -> Sequence[str]:
    """Return some paths, evenly over the list, so that rare ids are among them."""
    return paths[:: max(1, len(paths) // SAMPLED)][:SAMPLED]


def covers(said: Any, expected: Any) -> bool:
    """Tell whether an answer holds all that another one does.

    >>> covers({"score": 0.1 + 0.2, "request_id": "x"}, {"score": 0.3})
    True
    >>> covers([1, 2], [1])
    False
    """
    if isinstance(expected, dict):
        return isinstance(said, dict) and all(
            field in said and covers(said[field], value) for field, value in expected.items()
        )
    if isinstance(expected, list):
        return (
            isinstance(said, list)
            and len(said) == len(expected)
            and all(map(covers, said, expected))
        )
    if isinstance(expected, float) and isinstance(said, float):
        return math.isclose(said, expected, rel_tol=_RELATIVE)
    return bool(said == expected)


def _answers(client: httpx.Client, path: str, *servers: ReadServer) -> list[Any]:
    """Return what each server says within the same minute: bars are those of the last five."""
    while True:
        minute = time.time() // MINUTE_S
        said = [_answer(client, path, server) for server in servers]
        if time.time() // MINUTE_S == minute:
            return said


def _answer(client: httpx.Client, path: str, server: ReadServer) -> Any:
    """Return what a server says; a 503 asks to try again, as a busy machine may lead to."""
    try:
        answer = tenacity.Retrying(
            retry=tenacity.retry_if_result(
                lambda answer: answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
            ),
            stop=tenacity.stop_after_delay(_TRY_FOR_S),
            wait=tenacity.wait_fixed(_TRY_EVERY_S),
        )(client.get, f"http://{LOOPBACK}:{server.port}{path}")
    except tenacity.RetryError as error:
        answer = error.last_attempt.result()
    if not answer.is_success:
        raise ContenderError(
            f"{server.name} answers {path} with {answer.status_code}: {answer.text}"
        )
    return answer.json()
