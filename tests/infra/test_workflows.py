""".github: what its jobs may write, and what a release waits for."""

from typing import Any

import pytest
import yaml

from tests.commands import ROOT

WORKFLOWS: dict[str, dict[str, Any]] = {
    path.stem: yaml.safe_load(path.read_text())
    for path in sorted((ROOT / ".github/workflows").glob("*.yml"))
}
JOBS = [(name, job) for name, workflow in WORKFLOWS.items() for job in workflow["jobs"]]

WRITES = {
    ("digests", "propose"): {"contents", "pull-requests"},
    ("release", "images"): {"packages"},
    ("release", "release"): {"contents"},
}
"""All that any job may write; every other one only reads the code."""


def steps(name: str, job: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = WORKFLOWS[name]["jobs"][job].get("steps", [])
    return found


@pytest.mark.parametrize(("name", "job"), JOBS)
def test_a_job_may_do_no_more_than_it_needs(name: str, job: str) -> None:
    allowed = WORKFLOWS[name]["jobs"][job]["permissions"]
    writes = {what for what, how in allowed.items() if how == "write"}

    assert writes == WRITES.get((name, job), set())
    assert allowed.keys() - writes <= {"contents"}


@pytest.mark.parametrize(("name", "job"), JOBS)
def test_a_job_ends_and_leaves_no_token_behind(name: str, job: str) -> None:
    spec = WORKFLOWS[name]["jobs"][job]
    assert "uses" in spec or spec["timeout-minutes"] <= 60
    for step in steps(name, job):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


def test_a_release_waits_for_all_checks() -> None:
    jobs = WORKFLOWS["release"]["jobs"]
    assert jobs["check"]["uses"] == "./.github/workflows/check.yml"
    assert jobs["images"]["needs"] == ["check", "version"]
    assert jobs["release"]["needs"] == "images"
