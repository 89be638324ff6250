"""Every overlay of infra/kubernetes, checked against the schemas and the programs."""

import base64
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from infra.kubernetes.rules import RULES, rules
from runtime.archive.config import ArchiveConfig
from runtime.settings import flat_fields
from tests.commands import ROOT
from tests.compose import SERVICES, filled_in
from tests.infra.kubernetes.conftest import (
    OVERLAYS,
    WITH_AN_ARCHIVE,
    plain_variables,
    rendered,
    secret_variables,
)
from tests.infra.test_compose import SETTINGS as COMPOSED

SETTINGS = {name: its for name, its in COMPOSED.items() if name != "producer"}
LISTENING = {"worker", "trainer", "api", "archive", "adapt"}
"""the programs that answer HTTP"""
WITHOUT_REDIS = {"archive", "maintenance", "adapt"}
OF_THE_ARCHIVE = {f"ARCHIVE_{name.upper()}" for name in ArchiveConfig.model_fields}
"""in the map, which all programs have, where there is an archive"""
OF_AWS = {"AWS_DEFAULT_REGION"}
"""read by libraries, not by the programs"""
OF_SECRETS = {"KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD", "REDIS_URL"}
EVERY_POD = {
    # The service `api` would make Kubernetes set API_PORT, which is one of the API's settings.
    "enableServiceLinks": False,
    # Process 1 ignores a signal that it does not handle yet: a pod that starts would not stop.
    "shareProcessNamespace": True,
    "automountServiceAccountToken": False,
    "securityContext": {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
    },
}
EVERY_CONTAINER = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def programs_of(overlay: str) -> set[str]:
    if overlay == "adapt":
        return {"adapt"}
    others = {"adapt"} if overlay in WITH_AN_ARCHIVE else {"adapt", "archive", "maintenance"}
    return SETTINGS.keys() - others


def each_of(programs: set[str]) -> pytest.MarkDecorator:
    """Run a test for each of these programs in each overlay that has it."""
    pairs = [(overlay, name) for overlay in OVERLAYS for name in SETTINGS
             if name in programs & programs_of(overlay)]  # fmt: skip
    return pytest.mark.parametrize(("overlay", "name"), pairs, indirect=["overlay"])


def words(command: list[str]) -> list[str]:
    return [one for one in command if not one.startswith("--")]


def test_every_object_fits_its_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    kubernetes = pytest.importorskip("kubernetes_validate.utils")
    # It would read all definitions again for each object.
    monkeypatch.setattr(kubernetes, "schema_contents", cache(kubernetes.schema_contents))
    unknown = set()
    for each in [each for name in OVERLAYS for each in rendered(name).objects.values()]:
        try:
            kubernetes.validate(each, kubernetes.latest_version(), strict=True)
        except kubernetes.SchemaNotFoundError:
            unknown.add(each["kind"])
    assert unknown == {"ScaledObject", "TriggerAuthentication", "PodMonitor", "PrometheusRule"}


def test_all_programs_but_the_producer_are_there(overlay: Any) -> None:
    assert overlay.pods().keys() == programs_of(overlay.name)


@each_of(set(SETTINGS))
def test_a_program_runs_as_with_compose_and_takes_the_values_of_its_settings(
    overlay: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    composed = SERVICES[name]
    container = overlay.pods()[name]["containers"][0]
    archived = overlay.name in WITH_AN_ARCHIVE
    given = {"ARCHIVE_WAREHOUSE": "s3://"} if archived else {}
    assert container["image"] == filled_in(composed["image"], **given)
    assert words(container["args"]) == words(composed["command"])

    values, secret = plain_variables(overlay, name), secret_variables(overlay, name)
    own = {field.upper() for field in flat_fields(SETTINGS[name])}
    assert values.keys() | secret <= own | (OF_THE_ARCHIVE | OF_AWS if archived else set())
    assert not OF_SECRETS & values.keys()
    assert ("REDIS_URL" in secret) == (name not in WITHOUT_REDIS)
    # The files are secrets', which only a cluster mounts.
    for file in ("KAFKA_SSL_CA_FILE", "API_KEYS_FILE"):
        values.pop(file, None)
    for key, value in {**values, **dict.fromkeys(secret - {"REDIS_URL"}, "secret")}.items():
        monkeypatch.setenv(key, value)
    assert SETTINGS[name]().kafka.bootstrap_servers == values["KAFKA_BOOTSTRAP_SERVERS"]


@each_of({"api"})
def test_the_api_does_not_start_without_its_keys(overlay: Any, name: str) -> None:
    """A misspelt secret would otherwise leave it open to all."""
    spec = overlay.pods()["api"]
    path = Path(plain_variables(overlay, "api")["API_KEYS_FILE"])
    (mount,) = [one for one in spec["containers"][0]["volumeMounts"] if one["name"] == "api-keys"]
    (volume,) = [one for one in spec["volumes"] if one["name"] == "api-keys"]

    assert (mount["mountPath"], mount["readOnly"]) == (str(path.parent), True)
    # A list of entries needs each of them to be there.
    items = [{"key": "keys.json", "path": path.name}]
    assert volume["secret"] == {"secretName": "api-keys", "items": items}
    assert "subPath" not in mount, "it would not follow the secret's changes"
    assert "API_KEYS" not in secret_variables(overlay, "api"), "such keys do not administer"


def test_no_secret_is_optional_or_in_the_repository(overlay: Any) -> None:
    assert "optional:" not in overlay.text
    written = [
        base64.b64decode(value).decode()
        for secret in overlay.of_kind("Secret").values()
        for value in secret["data"].values()
    ]
    # An address without a password.
    assert written == (["redis://redis.redis:6379/0"] if overlay.name == "small" else [])


@each_of(LISTENING)
def test_probes_ask_the_port_that_the_program_listens_on(overlay: Any, name: str) -> None:
    container = overlay.pods()[name]["containers"][0]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    probes = {key: probe for key, probe in container.items() if key.endswith("Probe")}
    setting = "api_private_port" if name == "api" else "metrics_port"
    default = flat_fields(SETTINGS[name])[setting].default

    assert probes.keys() == {"startupProbe", "livenessProbe", "readinessProbe"}
    assert {probe["httpGet"]["port"] for probe in probes.values()} == {"metrics"}
    assert ports["metrics"] == int(plain_variables(overlay, name).get(setting.upper(), default))


@each_of(set(SETTINGS))
def test_a_pod_has_no_privileges_and_bounded_memory_and_disk(overlay: Any, name: str) -> None:
    pod = overlay.pods()[name]
    (container,) = pod["containers"]

    assert EVERY_POD.items() <= pod.items()
    assert container["securityContext"] == EVERY_CONTAINER
    assert container["resources"]["requests"].keys() == {"cpu", "memory", "ephemeral-storage"}
    # A limit of the CPU would only slow down what has nothing to wait for.
    assert container["resources"]["limits"].keys() == {"memory", "ephemeral-storage"}
    assert "USER 10001:10001" in (ROOT / "infra/docker/Dockerfile").read_text()


def test_the_copy_of_the_rules_is_that_of_prometheus() -> None:
    assert RULES.read_text() == rules(), "run python -m infra.kubernetes.rules"
