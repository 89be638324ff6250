"""A generator of clients understands the OpenAPI document, and what it makes asks a real API."""

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from .test_client_endpoints import MINUTE_S, api, filled  # noqa: F401 (fixtures)


@pytest.fixture
def client(api: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:  # noqa: F811
    """What openapi-python-client makes of the API's own document, without a warning."""
    document = tmp_path / "openapi.json"
    document.write_bytes(httpx.get(f"{api}/openapi.json").raise_for_status().content)
    (tmp_path / "config.yml").write_text("post_hooks: []")  # it would format the code
    options = ("--meta=none", "--fail-on-warning", f"--config={tmp_path / 'config.yml'}")
    argv = (sys.executable, "-m", "openapi_python_client", "generate", f"--path={document}")
    made = subprocess.run(
        (*argv, *options, f"--output-path={tmp_path / 'generated_client'}"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    monkeypatch.syspath_prepend(tmp_path)
    generated = importlib.import_module("generated_client")
    with generated.AuthenticatedClient(base_url=api, token="all") as its:
        yield its


def asked(client: Any, operation: str, *path: Any, **given: Any) -> Any:
    """Return the JSON of an answer, from the client's own types."""
    module = importlib.import_module(f"generated_client.api.{operation}")
    answer = module.sync_detailed(*path, client=client, **given)
    assert answer.status_code < 300, answer.content
    return answer.parsed.to_dict()


@pytest.mark.slow
def test_a_generated_client_reads_and_writes(client: Any) -> None:
    models = importlib.import_module("generated_client.models")

    bars = asked(client, "instruments.instrument_bars", "SUCA", start=0, limit=5)["bars"]
    assert [bar["t"] for bar in bars] == [(MINUTE_S - 60 * n) * 1000 for n in (4, 3, 2, 1, 0)]
    # The generator does not read `explode: false`: it would repeat the parameter for each item.
    quotes = asked(client, "instruments.latest_quotes", instruments=["4,SUMO"])
    assert (quotes["quotes"]["4"]["price"], quotes["unknown"]) == (2, ["SUMO"])
    listed = asked(client, "users.user_recommendations", "ABC", n=2)
    assert [item["instrument_id"] for item in listed["items"]] == [5, 7]
    basket = models.ForItems.from_dict({"items": [{"instrument_id": 4}], "n": 1})
    listed = asked(client, "recommendations.item_recommendations", body=basket)
    assert [item["instrument_id"] for item in listed["items"]] == [5]
    event = {"type": "quote", "instrument_id": 4, "price": 2, "ts": MINUTE_S * 1000}
    quote = models.PublishEventsQuoteEvent.from_dict(event)
    taken = asked(client, "events.publish_events", body=[quote])
    assert taken == {"quotes": 1, "interactions": 0}
