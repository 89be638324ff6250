"""Each endpoint refuses a parameter that breaks a rule, and names it."""

from typing import Final
from urllib.parse import quote

import httpx

from .problems import problem, refused_fields

TOO_LARGE: Final = 2**63
"""for an id"""


def many(n: int) -> str:
    return ",".join(map(str, range(n)))


QUERIES: Final[dict[str, list[str]]] = {
    "/v1/instruments/4/bars": [
        *("limit=0", "limit=1001", "interval=8d", "fill=zero", "start=yesterday", "end=yesterday"),
        *("page_token=x", "page_token=WzUsMF0"),  # the latter is of instrument 5
    ],
    "/v1/bars": [
        *("instruments=", "instruments=,", f"instruments={many(101)}"),
        *(f"instruments={TOO_LARGE}", "limit=10001&instruments=4", "limit=1&instruments=4,5"),
        "page_token=W10&instruments=4",
    ],
    "/v1/quotes/latest": [f"instruments={many(501)}"],
    "/v1/stream/bars": [
        *("instruments=", "instruments=,", f"instruments={TOO_LARGE}"),
        *(f"instruments={many(501)}", "instruments=4,٤"),
    ],
    "/v1/instruments": [
        *("n=0", "n=1001", "listed=yes", "category=a%20b", f"category={'x' * 65}"),
        *(f"category={many(101)}", "page_token=nonsense", f"search={'x' * 101}"),
        "filter=none:eq:1",
    ],
    "/v1/users": ["n=0", "n=101", "n=-1", "n=x", "n="],
    "/v1/users/ABC/recommendations": [
        *("n=0", "n=101", f"exclude={TOO_LARGE}", "include_seen=x"),
        *("category=a%20b", "exclude_category=a%20b", "filter=lot", "boost=lot:eq:1"),
        *("diversity=1.1", "diversity=-0.1", "diversity=x", "diversity="),
    ],
    "/v1/movers": ["window=2h", "direction=left", "ids=hex"],
}
"""By path; the parameter that is named first breaks the rule."""
PATHS: Final = [
    ("/instruments/x", "instrument_id"),
    (f"/instruments/{TOO_LARGE}", "instrument_id"),
    (f"/v1/instruments/{TOO_LARGE}/bars", "instrument"),
    (f"/v1/instruments/{TOO_LARGE}/similar", "instrument"),
    *((path, "instruments") for path in ("/v1/bars", "/v1/stream/bars")),  # none is named
    *(
        (f"/v1/users/{user}/{what}", "user_id")
        for user in ("", "x" * 129, quote("é" * 65))
        for what in ("history", "recommendations")
    ),
]


async def test_a_broken_rule_names_its_field(client: httpx.AsyncClient) -> None:
    queries = [(path, query) for path, queries in QUERIES.items() for query in queries]
    named = [(f"{path}?{query}", query.partition("=")[0]) for path, query in queries]
    for target, field in [*PATHS, *named]:
        answer = await client.get(target)
        assert problem(answer) == (422, "invalid-request"), target
        assert refused_fields(answer) == [field], target
        assert answer.json()["detail"].startswith(f"{field}: "), target
