"""Asks questions by the methods of `clients/python`, so that one list of checks serves both."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, get_type_hints

import httpx
import msgspec

from infra.local.asking import NDJSON, Answer, Question, ask, problem
from infra.local.described import SWITCHING_PROTOCOLS, Operation, operations
from tickrec_client import Tickrec, TickrecError
from tickrec_client.stream_events import Live
from tickrec_client.structs import Interaction, Quote

_IN_PACKAGE: Final = "/v1/"
_STREAMS: Final = ("stream_bars", "stream_quotes")


class Calling:
    """Calls the method of an operation; those that the package does not have are asked by HTTP."""

    def __init__(
        self,
        tickrec: Tickrec,
        client: httpx.Client,
        document: Mapping[str, Any],
        instrument_id: int,
    ) -> None:
        """Ask an API that `document` describes; WebSockets subscribe to an instrument."""
        self._tickrec = tickrec
        self._client = client
        self._document = document
        self._instrument_id = instrument_id

    def __call__(self, question: Question) -> Answer:
        """Ask a question once."""
        found = call_of(question, self._document)
        if found is None:
            return ask(self._client, question)
        operation, arguments = found
        try:
            said = self._called(operation, arguments)
        except TickrecError as error:
            status, body = error.status, {"type": error.type, "title": error.title}
            return Answer(question, status, body, problem(question, status, body))
        except (httpx.HTTPError, msgspec.ValidationError) as error:
            return Answer(question, None, None, f"no answer for {operation.name}: {error}")
        # The question's check is of plain HTTP: the events of a stream as they are sent, and the
        # answer to a request that opens no WebSocket.
        if question.until is not None or operation.status == SWITCHING_PROTOCOLS:
            return ask(self._client, question)
        status = operation.status
        return Answer(question, status, said, problem(question, status, said))

    def _called(self, operation: Operation, arguments: Mapping[str, Any]) -> Any:
        """Return the JSON of an answer; of a stream, None once it is live."""
        method = getattr(self._tickrec, operation.name)
        if operation.status == SWITCHING_PROTOCOLS:
            with method() as stream:
                stream.subscribe(bars=[self._instrument_id])
                _await_live(stream)
            return None
        if operation.name in _STREAMS:
            _await_live(method([arguments["instruments"]]))
            return None
        if "source" not in arguments:
            kinds = get_type_hints(method)
            listed = {one: _listed(value, kinds[one]) for one, value in arguments.items()}
            arguments = {
                one: msgspec.convert(value, kinds[one], strict=False)
                for one, value in listed.items()
            }
        return msgspec.to_builtins(method(**arguments))


def call_of(
    question: Question, document: Mapping[str, Any]
) -> tuple[Operation, dict[str, Any]] | None:
    """Return the operation and the arguments of the package's method that asks a question."""
    for operation in operations(document):
        arguments = operation.arguments(question.method, question.path)
        if arguments is not None and operation.path.startswith(_IN_PACKAGE):
            return operation, {**arguments, **_of_body(question, operation)}
    return None


def _of_body(question: Question, operation: Operation) -> dict[str, Any]:
    """Return the arguments that a method makes a body of: its members, or the only one."""
    if question.media_type == NDJSON:
        return {"source": msgspec.convert(question.body, list[Quote | Interaction])}
    if isinstance(question.body, list):
        (name,) = get_type_hints(getattr(Tickrec, operation.name)).keys() - _NOT_BODY
        return {name: question.body}
    return question.body or {}


_NOT_BODY: Final = frozenset({"return", "idempotency_key"})


def _await_live(changes: Iterable[object]) -> None:
    """Return once a stream is live."""
    next(change for change in changes if isinstance(change, Live))


def _listed(value: Any, kind: Any) -> Any:
    """Return the parts of a list as it is written in a query."""
    return value.split(",") if isinstance(value, str) and "Sequence" in str(kind) else value
