"""The overlay for a large cluster: scaling, network policies and the archive."""

from typing import Any

import httpx
import pytest
import yaml

from archive import service
from archive.service import State
from contracts.keyspace import Keyspace
from contracts.topics import COOCCURRENCES, INTERACTIONS, QUOTES
from infra.local.process import LOOPBACK, free_port
from runtime.archive.config import archive_from_env
from runtime.settings import SharedSettings
from tests.infra.kubernetes.conftest import KUBERNETES, plain_variables


def test_workers_scale_by_the_lag_of_all_topics_up_to_their_partitions(production: Any) -> None:
    scaled = production.objects["ScaledObject", "worker"]["spec"]
    filled = [topic.name for topic in (QUOTES, INTERACTIONS, COOCCURRENCES)]
    arguments = production.pods()["topics"]["containers"][0]["args"]
    partitions = [one.split("=")[1:] for one in arguments if one.startswith("--partitions=")]

    assert {one["type"] for one in scaled["triggers"]} == {"kafka"}
    assert [one["metadata"]["topic"] for one in scaled["triggers"]] == filled
    namespace = SharedSettings.model_fields["namespace"].default
    groups = {one["metadata"]["consumerGroup"] for one in scaled["triggers"]}
    assert groups == {Keyspace(namespace).consumer_group()}
    most = str(scaled["maxReplicaCount"])
    assert sorted(partitions) == [[name, most] for name in sorted(filled)]
    component = yaml.safe_load((KUBERNETES / "components/keda/worker.yaml").read_text())
    assert component["spec"]["maxReplicaCount"] == QUOTES.partitions


def test_policies_deny_all_but_ports_that_containers_have(production: Any) -> None:
    policies = production.of_kind("NetworkPolicy")
    assert policies["denied"]["spec"] == {
        "podSelector": {}, "policyTypes": ["Ingress", "Egress"],
    }  # fmt: skip
    containers = [pod["containers"][0] for pod in production.pods().values()]
    names = {port["name"] for one in containers for port in one.get("ports", [])}
    rules = [rule for one in policies.values() for rule in one["spec"].get("ingress", [])]
    assert {port["port"] for rule in rules for port in rule["ports"]} == names
    assert names == {"http", "metrics"}


def of_the_archive(overlay: Any, program: str) -> dict[str, str]:
    settings = plain_variables(overlay, program)
    return {name: settings[name] for name in settings if name.startswith(("ARCHIVE_", "AWS_"))}


def test_the_api_reads_the_archive_that_is_written(
    production: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = of_the_archive(production, "api")
    for program in ("archive", "maintenance"):
        assert of_the_archive(production, program) == settings
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    read = archive_from_env()
    assert read is not None
    assert (read.catalog, read.is_in_s3) == ("glue", True)


@pytest.mark.parametrize(
    ("waits_for", "fail"),
    [(None, set()), ("Glue", {"readinessProbe"})],
    ids=["all is well", "Glue is away"],
)
def test_while_glue_is_unreachable_it_is_not_ready_and_not_restarted(
    production: Any, waits_for: str | None, fail: set[str]
) -> None:
    state, port = State(), free_port()
    state.has_begun, state.waits_for = True, waits_for
    service.serve(state, LOOPBACK, port)
    container = production.pods()["archive"]["containers"][0]
    answers = {
        name: httpx.get(f"http://{LOOPBACK}:{port}{container[name]['httpGet']['path']}").status_code
        for name in ("startupProbe", "livenessProbe", "readinessProbe")
    }

    assert set(answers.values()) <= {200, 503}
    assert {name for name, status in answers.items() if status == 503} == fail
