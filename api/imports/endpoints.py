"""The endpoint of imports: files of events of any length, from HTTP to Kafka."""

import contextlib
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from api.events.bodies import Accepted
from api.events.endpoints import INTERACTION, QUOTE
from api.events.publisher import Publisher
from api.http.bodies import Writing, check_media_type
from api.http.endpoint import ActionEndpoint, Success, Table
from api.http.idempotency import REPLAYED, key_digest
from api.http.keys.key import client_names, key_of
from api.http.limits import IMPORT, MAX_IMPORTS, MAX_IMPORTS_OF_A_CLIENT, PerClient
from api.http.parameters import Schema
from api.http.parsing import Resolve
from api.http.problems import (
    CONFLICT,
    IDEMPOTENCY_KEY_REUSED,
    INCOMPLETE_BODY,
    INVALID_EVENTS,
    INVALID_REQUEST,
    LOG_UNAVAILABLE,
    NOT_READY,
    OUTCOME_UNKNOWN,
    OVERLOADED,
    RATE_LIMITED,
    UNSUPPORTED_MEDIA_TYPE,
    WRITING_ONCE,
    Problem,
    ProblemType,
)
from api.http.replies import respond
from api.imports.importing import GZIP, Import
from api.imports.lines import CSV, NDJSON
from api.imports.publishing import Output, Plain, Transactions
from contracts.input_rules import InputRules

_FILES: Final = (*NDJSON, CSV)
_NDJSON_EXAMPLE: Final = "\n".join(json.dumps(event) for event in (QUOTE, INTERACTION)) + "\n"
_CSV_EXAMPLE: Final = """\
type,instrument_id,ts,price,size,user_id,event,quantity
quote,4,1629061628123,30.72,100,,,
interaction,4,1629061628123,10.273,,ABC,trade,2
"""
_KEPT: Final = "The 499500 events up to line 499500 are in the log, and stay there"
_PROBLEMS: Final[dict[ProblemType, str]] = {
    INVALID_EVENTS: "2 of 1000000 events invalid; the first is in line 499873: "
    f"Expected `float` >= 1e-18 - at `$.price`. {_KEPT}",
    IDEMPOTENCY_KEY_REUSED: "The key was used for another file: this one has other lines. Send "
    "each file with its own key",
    UNSUPPORTED_MEDIA_TYPE: "Send `Content-Type: application/x-ndjson, application/jsonl, text/csv`"
    ", not 'text/plain'",
    INCOMPLETE_BODY: f"30 s are allowed for each 1048576 bytes: send faster. {_KEPT}",
    RATE_LIMITED: f"At most 100000 events in 3600 s: try again after 1807 s. {_KEPT}",
    CONFLICT: f"A later request with the same Idempotency-Key continues this import. {_KEPT}",
    OUTCOME_UNKNOWN: "The broker keeps no metadata of offsets, which say how far the import came",
    INVALID_REQUEST: WRITING_ONCE[INVALID_REQUEST],
    OVERLOADED: f"{MAX_IMPORTS} requests are in flight already: try again in a second",
    NOT_READY: f"The server is shutting down. {_KEPT}",
    LOG_UNAVAILABLE: f"Kafka did not commit: Local: Message timed out. {_KEPT}",
}


class Imports:
    """Runs imports."""

    def __init__(
        self,
        writing: Writing,
        publisher: Publisher,
        transactions: Transactions,
        now_ms: Callable[[], int],
        rules: InputRules,
        resolve: Resolve,
    ) -> None:
        """Check events by `rules`; `resolve` finds instruments by their symbols."""
        self._writing = writing
        self._publisher = publisher
        self._transactions = transactions
        self._now_ms = now_ms
        self._rules = rules
        self._resolve = resolve
        self._clients = PerClient(
            MAX_IMPORTS_OF_A_CLIENT,
            lambda name: Problem(
                OVERLOADED,
                f"{MAX_IMPORTS_OF_A_CLIENT} imports of {name} are running already: "
                "wait until one has ended",
            ),
        )
        self._running: set[Import] = set()

    async def run(self, request: Request) -> Response:
        """Import the body of a request, and return its answer."""
        check_media_type(request, _FILES)
        _check_encoding(request)
        digest = key_digest(request)
        with self._place(request):
            if digest is not None:
                self._writing.begin_keyed_import(request)
            await self._writing.pace(request, 1)
            async with self._output(digest) as output:
                return await self._answer(request, output)

    def close(self) -> None:
        """Have all imports stop at the end of a part."""
        for one in self._running:
            one.closing = True

    async def _answer(self, request: Request, output: Output) -> Response:
        one = Import(request, output, self._writing, self._now_ms, self._rules, self._resolve)
        self._running.add(one)
        try:
            progress = await one.run()
        finally:
            self._running.remove(one)
        answer = respond(Accepted(progress.quotes, progress.interactions), 202)
        if not one.published:
            answer.headers[REPLAYED] = "true"
        return answer

    @contextlib.contextmanager
    def _place(self, request: Request) -> Iterator[None]:
        """Take a place of the client's; Problem if it has none left."""
        names = client_names(request, key_of(request))
        self._clients.enter(names)
        try:
            yield
        finally:
            self._clients.leave(names)

    def _output(self, digest: str | None) -> AbstractAsyncContextManager[Output]:
        if digest is None:
            return contextlib.nullcontext(Plain(self._publisher))
        return self._transactions.of_key(digest)


def endpoints(imports: Imports) -> Table:
    """Return the endpoint of imports."""
    return (
        ActionEndpoint(
            name="import_events",
            method="POST",
            path=IMPORT,
            tag="events",
            summary="Publish a file of quotes and interactions",
            description="""\
NDJSON, an event a line, or CSV, whose first line names the columns: of any length, with or without
`Content-Length`, and with `Content-Encoding: gzip` if it is compressed. Events are those of
`/v1/events`.

The body is checked and published while it arrives, in parts of whole lines of up to 1 MiB. If a
line is invalid, nothing of its part and of those after it is published, but all lines are checked:
`errors` gives the line, field and reason of each invalid one (of the first 20). So a file of up to
1 MiB is accepted as a whole or not at all. If anything ends an import early, `line` says up to
which line its events are in the log, and `acknowledged` how many these are.

With an `Idempotency-Key`, send the whole file again with the same key: what is in the log is
skipped, and no event is counted twice, whatever happened. You may correct lines after `line` first.
Keys are kept as long as Kafka keeps offsets, a week by default.""",
            act=imports.run,
            body=_body(),
            keyed=True,
            cost=0,
            scope="write",
            success=Success(kind=Accepted, example=Accepted(1, 1), status=202),
            problems=_PROBLEMS,
        ),
    )


def _check_encoding(request: Request) -> None:
    given = request.headers.get("content-encoding", GZIP)
    if given != GZIP:
        detail = f"Send `Content-Encoding: {GZIP}`, or none, not {given!r:.100}"
        raise Problem(UNSUPPORTED_MEDIA_TYPE, detail)


def _body() -> Schema:
    examples = {**dict.fromkeys(NDJSON, _NDJSON_EXAMPLE), CSV: _CSV_EXAMPLE}
    content = {
        media_type: {"schema": {"type": "string"}, "example": example}
        for media_type, example in examples.items()
    }
    return {"required": True, "content": content}
