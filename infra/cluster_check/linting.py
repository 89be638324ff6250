"""Runs kube-score on the overlays, and matches its findings with docs/kubernetes.md."""

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

from infra.cluster_check.cluster import CheckError

_KUBERNETES: Final = "v1.37"
_OPTIONAL: Final = ("container-ports-check", "container-seccomp-profile")
"""Off by default. The other optional checks want requests to equal limits."""
_GOOD: Final = 10
"""The grade of a passed check."""
_PROGRAMS: Final = ("api", "archive", "topics", "trainer", "worker")


Check = tuple[str, dict[str, Any]]
"""an object's name, and kube-score's result of one check"""


class Finding(NamedTuple):
    """A finding of kube-score in an object."""

    program: str
    summary: str


ANSWERED: Final = frozenset(
    [
        *(Finding(program, "ImagePullPolicy is not set to Always") for program in _PROGRAMS),
        *(Finding(program, "CPU limit is not set") for program in _PROGRAMS),
        Finding("api", "Deployment does not have a host podAntiAffinity set"),
        Finding("trainer", "Deployment does not have a host podAntiAffinity set"),
        Finding("worker", "StatefulSet does not have a host podAntiAffinity set"),
        Finding("api", "Deployment few replicas"),
        Finding("trainer", "Container has the same readiness and liveness probe"),
    ]
)
"""The answers are in docs/kubernetes.md, under what linters say."""


def lint(kube_score: Path, overlays: Iterable[str]) -> tuple[int, list[str]]:
    """Return how many checks the rendered overlays pass, and all findings without an answer.

    Answers without a finding are included.

    Raises:
        CheckError: kube-score cannot read an overlay.
    """
    checks = [check for manifests in overlays for check in _checks(kube_score, manifests)]
    passed, found = judged(checks)
    missing = [f"{one.program}: {one.summary}" for one in sorted(found - ANSWERED)]
    too_many = [f"not found: {one.program}: {one.summary}" for one in sorted(ANSWERED - found)]
    return passed, missing + too_many


def judged(checks: Iterable[Check]) -> tuple[int, set[Finding]]:
    """Return how many of kube-score's checks passed, and the findings of the others."""
    passed, found = 0, set()
    for name, check in checks:
        if not check["skipped"] and check["grade"] >= _GOOD:
            passed += 1
        elif not check["skipped"]:
            found |= {Finding(name, comment["summary"]) for comment in check["comments"]}
    return passed, found


def _checks(kube_score: Path, manifests: str) -> list[Check]:
    argv = [str(kube_score), "score", "--kubernetes-version", _KUBERNETES, "--output-format=json"]
    argv += [f"--enable-optional-test={name}" for name in _OPTIONAL]
    # It exits with 1 if there are findings, and still prints them.
    done = subprocess.run(
        [*argv, "-"], input=manifests, capture_output=True, text=True, check=False
    )
    if not done.stdout:
        raise CheckError(f"kube-score: {done.stderr.strip()}")
    return [
        (each["object_meta"]["name"], check)
        for each in json.loads(done.stdout)
        for check in each["checks"]
    ]
