"""What happens to an exception that nobody expected: a problem for the client, a line for the log.

The line says what was raised and where, and never an exception's message: messages quote what they
stumbled over, such as the id of a user. With `LOG_LEVEL=DEBUG` the log holds the messages, too.
"""

import logging
import traceback
from collections.abc import Iterator

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.failures import problem_response
from api.http.metrics import route_of
from api.http.problems import INTERNAL, Problem

_log = logging.getLogger(__name__)


class Contained:
    """Ends every exception of `app` here, before a server logs it with its message."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and answer for `app` if it cannot."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def noting_start(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, noting_start)
        except Exception as error:  # noqa: BLE001 (that is what this is for)
            log_bug(error, scope["method"], route_of(scope))
            # Half an answer cannot become another: the server sees it unfinished, and hangs up.
            if not started:
                await internal_problem(scope)(scope, receive, send)


def log_bug(error: Exception, method: str, route: str) -> None:
    """Log what was raised and where, without a word of what it says."""
    _log.error(
        "%s %s failed: %s", method, route, _name(error), extra={"where": list(_places(error))}
    )
    _log.debug("with its message, which may name users", exc_info=error)


def internal_problem(scope: Scope) -> ASGIApp:
    """Return the answer to a request that met a bug."""
    detail = "An error that is ours, not yours; it stands in the server's log"
    return problem_response(Request(scope), Problem(INTERNAL, detail))


def _places(error: BaseException) -> Iterator[str]:
    """Yield the places that an exception passed, outermost first, then those of its cause.

    Of libraries, only the place that raised it: what lies between is the framework's machinery.
    """
    frames = traceback.extract_tb(error.__traceback__)  # none of a cause that was never raised
    ours = [frame for frame in frames[:-1] if "site-packages" not in frame.filename]
    for frame in ours + frames[-1:]:
        yield f"{frame.filename}:{frame.lineno} in {frame.name}"
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        yield f"from {_name(cause)}"
        yield from _places(cause)


def _name(error: BaseException) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}"
