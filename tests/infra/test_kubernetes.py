"""infra/kubernetes, as kustomize puts it together, held against the schemas and the programs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.settings import ApiSettings
from runtime.settings import SharedSettings
from stream_processors.settings import Settings as WorkerSettings
from trainer.settings import TrainerSettings
from trainer.settings_file import flat_fields

ROOT = Path(__file__).parents[2]
KUBECTL = shutil.which("kubectl")
VALIDATE = shutil.which(
    "kubernetes-validate", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}"
)
SETTINGS: dict[str, type[SharedSettings]] = {
    "topics": SharedSettings,
    "worker": WorkerSettings,
    "trainer": TrainerSettings,
    "api": ApiSettings,
}
PORTS = {
    "worker": WorkerSettings.model_fields["metrics_port"].default,
    "trainer": TrainerSettings.model_fields["metrics_port"].default,
    "api": ApiSettings.model_fields["api_port"].default,
}

pytestmark = pytest.mark.skipif(KUBECTL is None, reason="kubectl is missing")


@pytest.fixture(scope="module")
def manifests() -> str:
    asked = [str(KUBECTL), "kustomize", ROOT / "infra/kubernetes"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def objects(manifests: str) -> dict[tuple[str, str], dict[str, Any]]:
    """By kind and name."""
    loaded = yaml.safe_load_all(manifests)
    return {(each["kind"], each["metadata"]["name"]): each for each in loaded}


@pytest.fixture(scope="module")
def pods(objects: dict[tuple[str, str], dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        name: each["spec"]["template"]["spec"]
        for (kind, name), each in objects.items()
        if kind in {"Deployment", "Job"}
    }


@pytest.mark.skipif(VALIDATE is None, reason="missing: pip install kubernetes-validate")
def test_every_object_fits_its_schema(manifests: str, tmp_path: Path) -> None:
    path = tmp_path / "all.yaml"
    path.write_text(manifests)

    done = subprocess.run(
        [str(VALIDATE), "--strict", path], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_all_programs_but_the_producer_are_there(pods: dict[str, dict[str, Any]]) -> None:
    assert pods.keys() == SETTINGS.keys()


@pytest.mark.parametrize("name", SETTINGS)
def test_images_and_commands_are_those_of_the_compose_file(
    pods: dict[str, dict[str, Any]], name: str
) -> None:
    composed = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"][name]
    container = pods[name]["containers"][0]

    assert (container["image"], container["args"]) == (composed["image"], composed["command"])


@pytest.mark.parametrize("name", SETTINGS)
def test_every_variable_is_one_of_the_programs_settings(
    objects: dict[tuple[str, str], dict[str, Any]], pods: dict[str, dict[str, Any]], name: str
) -> None:
    container = pods[name]["containers"][0]
    shared = objects["ConfigMap", container["envFrom"][0]["configMapRef"]["name"]]["data"]
    own = {variable["name"] for variable in container.get("env", [])}

    assert shared.keys() | own <= {field.upper() for field in flat_fields(SETTINGS[name])}


@pytest.mark.parametrize("name", SETTINGS)
def test_kubernetes_sets_no_variables_of_its_own(
    pods: dict[str, dict[str, Any]], name: str
) -> None:
    """The service `api` would make it set API_PORT, which is one of the API's settings."""
    assert pods[name]["enableServiceLinks"] is False


@pytest.mark.parametrize("name", PORTS)
def test_probes_ask_the_port_that_the_program_listens_on(
    pods: dict[str, dict[str, Any]], name: str
) -> None:
    container = pods[name]["containers"][0]
    port = container["ports"][0]
    asked = [probe["httpGet"]["port"] for key, probe in container.items() if key.endswith("Probe")]

    assert port["containerPort"] == PORTS[name]
    assert set(asked) == {port["name"]}


@pytest.mark.parametrize("name", SETTINGS)
def test_pods_have_no_privileges(pods: dict[str, dict[str, Any]], name: str) -> None:
    container = pods[name]["containers"][0]

    assert pods[name]["securityContext"]["runAsNonRoot"] is True
    assert pods[name]["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


@pytest.mark.parametrize("kind", ["HorizontalPodAutoscaler", "PodDisruptionBudget", "Service"])
def test_what_speaks_of_the_api_means_its_pods(
    objects: dict[tuple[str, str], dict[str, Any]], kind: str
) -> None:
    spec = objects[kind, "api"]["spec"]
    labels = objects["Deployment", "api"]["spec"]["template"]["metadata"]["labels"]
    selected = spec.get("selector", {})

    if kind == "HorizontalPodAutoscaler":
        assert spec["scaleTargetRef"]["name"] == "api"
    else:
        assert selected.get("matchLabels", selected).items() <= labels.items()
