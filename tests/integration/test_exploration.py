"""A variant explores, and its feedback shows what the ranking is worth, through all programs."""

import random
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from contracts.messages import Interaction
from tests.integration.conftest import Pipeline
from trainer.generations.decisions import read_decisions, read_report
from trainer.generations.publication import read_current

pytestmark = pytest.mark.slow

BASE_MS = 1_700_000_040_000
ITEMS = range(40)
USERS = [f"u{n}" for n in range(60)]
SHARE = 0.3
SEED = 7
VARIANT = "exploring"


def feedback(answer: dict[str, Any], user: str, place: int, kind: str) -> dict[str, Any]:
    return {
        "type": kind,
        "request_id": answer["request_id"],
        "user_id": user,
        "instrument_id": answer["items"][place]["instrument_id"],
        "position": place + 1,
    }


def show_and_click(client: httpx.Client, draws: random.Random) -> Counter[tuple[bool, bool]]:
    """Show an answer to each user, who clicks explored items less; return how many of each kind.

    A kind is whether it was explored, and whether it was clicked.
    """
    kinds: Counter[tuple[bool, bool]] = Counter()
    for user in USERS:
        answer = client.get(f"/v1/users/{user}/recommendations?n=5").raise_for_status().json()
        assert (answer["variant"], len(answer["items"])) == (VARIANT, 5)
        sent = []
        for place, item in enumerate(answer["items"]):
            explored = item.get("explored", False)
            clicked = draws.random() < (0.1 if explored else 0.5)
            kinds[explored, clicked] += 1
            sent.append(feedback(answer, user, place, "impression"))
            sent += [feedback(answer, user, place, "click")] if clicked else []
        client.post("/v1/feedback", json=sent).raise_for_status()
    return kinds


def test_what_a_variant_explored_is_in_its_next_report_and_in_history(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    draws = random.Random(SEED)
    variants = tmp_path / "variants.toml"
    variants.write_text(f"[{VARIANT}]\nexploration = {SHARE}\n")
    settings: dict[str, str | int] = {"variants": str(variants), "active_users": 0}
    with pipeline.worker():
        pipeline.publish(
            Interaction(user_id=user, instrument_id=item, ts=BASE_MS + n)
            for user in USERS
            for n, item in enumerate(draws.sample(ITEMS, 10))
        )
        pipeline.wait_until_folded()
    pipeline.run("trainer", "once", **settings)
    pipeline.run("trainer", "weights", "spring", f"{VARIANT}=1")

    with pipeline.api() as address, httpx.Client(base_url=address) as client:
        kinds = show_and_click(client, draws)
        answer = client.get(f"/v1/users/{USERS[0]}/recommendations").json()
        lie = feedback(answer, USERS[0], 0, "click")
        *parts, draw, signed = lie["request_id"].split(".")
        lie["request_id"] = ".".join([*parts, "B" + draw[1:], signed])
        assert client.post("/v1/feedback", json=lie).status_code == 422
    pipeline.run("trainer", "once", **settings)

    current = read_current(pipeline.store, pipeline.keyspace)
    assert current is not None
    assert current.variants[VARIANT].exploration == SHARE
    generation = current.variants[VARIANT].generation
    report = read_report(pipeline.store, pipeline.keyspace, generation)
    assert report is not None
    found = report.exploration
    assert found is not None, f"see {pipeline.folder}"
    assert found.users == len(USERS)
    for rate, of in ((found.ranked, False), (found.explored, True)):
        shown = kinds[of, True] + kinds[of, False]
        assert rate.rate == pytest.approx(kinds[of, True] / shown, abs=1e-6)
        assert rate.effective == pytest.approx(shown, abs=0.1)
    clicks = kinds[True, True] + kinds[False, True]
    assert found.served.rate == pytest.approx(clicks / kinds.total(), abs=1e-6)
    # What the API draws has no seed here: this is six standard deviations away from failing.
    assert found.ranked.rate > found.served.rate > found.explored.rate
    of_default = read_report(
        pipeline.store, pipeline.keyspace, current.variants["default"].generation
    )
    assert of_default is not None
    assert of_default.exploration is None

    figures = {d.variant: d.figures for d in read_decisions(pipeline.store, pipeline.keyspace, 2)}
    assert figures[VARIANT]["ctr_ranked_rate"] == found.ranked.rate
    assert "ctr_users" not in figures["default"]
    said = pipeline.run("trainer", "history")
    (row,) = (line for line in said.splitlines() if f"{found.ranked.rate:.2%}" in line)
    assert VARIANT in row
    assert f"{found.lead.mean:+.2%}" in row
