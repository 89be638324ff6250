"""The overlays as built by kustomize, each rendered once."""

import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

KUBERNETES = Path(__file__).parents[3] / "infra" / "kubernetes"
KUBECTL = shutil.which("kubectl")
OVERLAYS = sorted(folder.name for folder in (KUBERNETES / "overlays").iterdir())
WITH_AN_ARCHIVE = {"production"}

Object = dict[str, Any]


class Rendered(NamedTuple):
    name: str
    text: str
    objects: dict[tuple[str, str], Object]
    """by kind and name"""

    def pods(self) -> dict[str, Object]:
        return {name: each["spec"] for name, each in self.templates().items()}

    def templates(self) -> dict[str, Object]:
        return {
            name: (each["spec"]["jobTemplate"] if kind == "CronJob" else each)["spec"]["template"]
            for (kind, name), each in self.objects.items()
            if kind in {"CronJob", "Deployment", "Job", "StatefulSet"}
        }

    def of_kind(self, kind: str) -> dict[str, Object]:
        return {name: each for (its, name), each in self.objects.items() if its == kind}


@pytest.fixture(scope="session", params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> Rendered:
    return rendered(request.param)


@pytest.fixture(scope="session")
def production() -> Rendered:
    return rendered("production")


@cache
def rendered(name: str) -> Rendered:
    if KUBECTL is None:
        pytest.skip("kubectl is missing")
    asked = [KUBECTL, "kustomize", KUBERNETES / "overlays" / name]
    text = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    loaded = yaml.safe_load_all(text)
    return Rendered(name, text, {(each["kind"], each["metadata"]["name"]): each for each in loaded})


def plain_variables(overlay: Rendered, name: str) -> dict[str, str]:
    container = overlay.pods()[name]["containers"][0]
    maps = [source["configMapRef"] for source in container["envFrom"] if "configMapRef" in source]
    values: dict[str, str] = {}
    for each in maps:
        values |= overlay.objects["ConfigMap", each["name"]]["data"]
    values |= {
        one["name"]: one.get("value", one["name"].lower())
        for one in container.get("env", [])
        if "secretKeyRef" not in one.get("valueFrom", {})
    }
    return values


def secret_variables(overlay: Rendered, name: str) -> set[str]:
    container = overlay.pods()[name]["containers"][0]
    named = {
        one["name"]
        for one in container.get("env", [])
        if "secretKeyRef" in one.get("valueFrom", {})
    }
    whole = [source["secretRef"] for source in container["envFrom"] if "secretRef" in source]
    return named | ({"REDIS_URL"} if whole else set())
