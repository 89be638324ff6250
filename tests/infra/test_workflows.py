""".github: what its jobs may write, their images and targets; `make workflows` checks the rest."""

import hashlib
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.commands import ROOT, run
from tests.infra.images import IMAGES

WORKFLOWS: dict[str, dict[str, Any]] = {
    path.stem: yaml.safe_load(path.read_text())
    for path in sorted((ROOT / ".github/workflows").glob("*.yml"))
}
JOBS = [(name, job) for name, workflow in WORKFLOWS.items() for job in workflow["jobs"]]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MAKEFILE = (ROOT / "Makefile").read_text()
PIN = Path("infra/docker/pin-images")
PINNED = (Path("infra/docker/Dockerfile"), Path("docker-compose.yml"))
"""the files in which it writes digests"""

WRITES = {
    ("digests", "propose"): {"contents", "pull-requests"},
    ("release", "images"): {"packages"},
    ("release", "release"): {"contents"},
}
"""All that any job may write; every other one only reads the code."""

BUILDX = """#!/bin/sh
echo "$@" >> {log}
digest=$(printf '%s' "$4 {day}" | sha256sum | cut -d ' ' -f 1)
test "$4" != '{unknown}' || digest=
echo '{{"mediaType": "an index", "digest": "sha256:'$digest'"}}'
"""


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


def test_the_tests_run_on_every_python_that_the_project_names() -> None:
    low, high = re.findall(r"3\.(\d+)", PROJECT["project"]["requires-python"])
    versions = [f"3.{minor}" for minor in range(int(low), int(high))]
    assert WORKFLOWS["check"]["jobs"]["test"]["strategy"]["matrix"]["python"] == versions


@pytest.mark.parametrize("name", ["check", "release"])
def test_every_program_has_an_image(name: str) -> None:
    matrix = WORKFLOWS[name]["jobs"]["images"]["strategy"]["matrix"]
    assert matrix["program"] == sorted(IMAGES)


def test_a_release_waits_for_all_checks() -> None:
    jobs = WORKFLOWS["release"]["jobs"]
    assert jobs["check"]["uses"] == "./.github/workflows/check.yml"
    assert jobs["images"]["needs"] == ["check", "version"]
    assert jobs["release"]["needs"] == "images"


def test_every_make_target_of_a_workflow_exists() -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.MULTILINE))
    runs = [step.get("run", "") for name, job in JOBS for step in steps(name, job)]
    named = {
        word
        for run in runs
        for line in re.findall(r"^make (.+)$", run, re.MULTILINE)
        for word in line.split()
    }
    assert named
    assert named <= targets


@pytest.fixture
def pinned(tmp_path: Path) -> Any:
    """Runs the script on copies of the files, where a stand-in answers for the registry."""
    if shutil.which("jq") is None:
        pytest.skip("jq is missing")
    for name in (PIN, *PINNED):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    docker = tmp_path / "bin/docker"
    docker.parent.mkdir()

    def pin(day: str, unknown: str = "") -> subprocess.CompletedProcess[str]:
        docker.write_text(BUILDX.format(log=tmp_path / "asked", day=day, unknown=unknown))
        docker.chmod(0o755)
        return run(tmp_path / PIN, PATH=f"{docker.parent}:{os.environ['PATH']}")

    return pin


def images_of_others(folder: Path) -> list[tuple[str, str]]:
    """Return the tag and the digest of each image that a file in `folder` names."""
    texts = "".join((folder / name).read_text() for name in PINNED)
    return re.findall(r"^(?:FROM|    image:) (?!tickrec/)([^@\s]+)@?(\S*)", texts, re.MULTILINE)


def test_third_party_images_get_the_registrys_digest_and_later_the_next_one(
    pinned: Any, tmp_path: Path
) -> None:
    plain = [re.sub(r"@sha256:\w+", "", (ROOT / name).read_text()) for name in PINNED]
    for day in ("Monday", "Tuesday"):
        done = pinned(day)
        assert done.returncode == 0, done.stderr
        found = images_of_others(tmp_path)
        # Python twice, Kafka, Redis, nginx, Prometheus, Grafana
        assert len(found) == 7
        for tag, digest in found:
            assert digest == f"sha256:{hashlib.sha256(f'{tag} {day}'.encode()).hexdigest()}"
        written = [re.sub(r"@sha256:\w+", "", (tmp_path / name).read_text()) for name in PINNED]
        assert written == plain
    asked = (tmp_path / "asked").read_text().splitlines()
    assert len(asked) == 2 * len({tag for tag, _ in found})


def test_while_a_digest_is_unknown_no_file_is_changed(pinned: Any, tmp_path: Path) -> None:
    for unknown, _ in set(images_of_others(ROOT)):
        done = pinned("Monday", unknown)
        assert done.returncode == 1
        assert f"{unknown}: no digest" in done.stderr
    assert [(tmp_path / name).read_text() for name in PINNED] == [
        (ROOT / name).read_text() for name in PINNED
    ]
