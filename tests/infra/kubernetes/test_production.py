"""The overlay for a large cluster: scaling, spreading, and network policies."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from contracts.keyspace import Keyspace
from contracts.topics import COOCCURRENCES, INTERACTIONS, QUOTES
from runtime.settings import SharedSettings
from tests.infra.kubernetes.conftest import rendered, secret_variables

KUBERNETES = Path(__file__).parents[3] / "infra" / "kubernetes"
SASL_OF_KEDA = {"SCRAM-SHA-512": "scram_sha512"}
"""mechanism -> KEDA's word for it"""
CORES = {"m7i.large": 2, "m7i.xlarge": 4, "m7i.2xlarge": 8}
LEFT_BY_SYSTEM = 0.8
"""of a machine's cores, by what EKS, KEDA and add-ons take"""


def scaled(production: Any, name: str) -> Any:
    return production.objects["ScaledObject", name]["spec"]


def kafka_triggers(production: Any) -> list[dict[str, str]]:
    """Return the settings of the workers' triggers, all of which are on Kafka."""
    triggers = scaled(production, "worker")["triggers"]
    assert {each["type"] for each in triggers} == {"kafka"}
    return [each["metadata"] for each in triggers]


def topic_partitions(production: Any) -> dict[str, int]:
    arguments = production.pods()["topics"]["containers"][0]["args"]
    found = [re.fullmatch(r"--partitions=(\w+)=(\d+)", one) for one in arguments]
    return {one[1]: int(one[2]) for one in found if one}


def test_workers_scale_by_the_lag_of_all_topics_up_to_their_partitions(production: Any) -> None:
    triggers, partitions = kafka_triggers(production), topic_partitions(production)
    filled = [topic.name for topic in (QUOTES, INTERACTIONS, COOCCURRENCES)]

    assert [one["topic"] for one in triggers] == filled
    namespace = SharedSettings.model_fields["namespace"].default
    assert {one["consumerGroup"] for one in triggers} == {Keyspace(namespace).consumer_group()}
    assert sorted(partitions) == sorted(filled)
    assert set(partitions.values()) == {scaled(production, "worker")["maxReplicaCount"]}
    component = yaml.safe_load((KUBERNETES / "components/keda/worker.yaml").read_text())
    assert component["spec"]["maxReplicaCount"] == QUOTES.partitions


def test_records_of_counts_that_always_wait_ask_for_no_worker(production: Any) -> None:
    """Each partition of interactions writes one record a second to each of these, at most."""
    by_topic = {one["topic"]: one for one in kafka_triggers(production)}
    partitions = topic_partitions(production)[COOCCURRENCES.name]
    waiting = partitions**2 * 6.5

    assert waiting < int(by_topic[COOCCURRENCES.name]["lagThreshold"])


def test_what_an_autoscaler_decides_no_manifest_does(production: Any) -> None:
    for each in production.of_kind("ScaledObject").values():
        target = each["spec"]["scaleTargetRef"]
        assert "replicas" not in production.objects[target["kind"], target["name"]]["spec"]
    assert not production.of_kind("HorizontalPodAutoscaler"), "KEDA makes them"


def test_keda_and_every_program_log_in_to_kafka(production: Any) -> None:
    (settings,) = production.of_kind("ConfigMap").values()
    for trigger in kafka_triggers(production):
        assert trigger["sasl"] == SASL_OF_KEDA[settings["data"]["KAFKA_SASL_MECHANISM"]]
    for trigger in scaled(production, "worker")["triggers"]:
        assert trigger["authenticationRef"] == {"name": "kafka"}
    for name, pod in production.pods().items():
        (container,) = pod["containers"]
        mounted = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
        assert {"KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD"} <= secret_variables(production, name)
        assert settings["data"]["KAFKA_SSL_CA_FILE"] == f"{mounted['kafka']}/ca.crt"


def test_the_worker_is_the_same_member_of_its_group_when_it_comes_back(production: Any) -> None:
    (container,) = production.pods()["worker"]["containers"]
    variables = {one["name"]: one for one in container["env"]}

    assert production.objects["StatefulSet", "worker"]["spec"]["podManagementPolicy"] == "Parallel"
    assert variables["GROUP_INSTANCE_ID"]["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"


def test_pods_spread_over_nodes_and_zones(production: Any) -> None:
    for name in ("worker", "trainer", "api", "archive"):
        constraints = production.pods()[name]["topologySpreadConstraints"]
        assert {each["topologyKey"] for each in constraints} == {
            "kubernetes.io/hostname",
            "topology.kubernetes.io/zone",
        }


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


def test_prometheus_finds_every_program_under_the_name_that_it_has_with_compose(
    production: Any,
) -> None:
    monitor = production.objects["PodMonitor", "tickrec"]["spec"]
    configured = yaml.safe_load((KUBERNETES.parent / "prometheus/prometheus.yml").read_text())
    names = {each["job_name"] for each in configured["scrape_configs"]}
    templates = production.templates()
    labels = {
        name: templates[name]["metadata"]["labels"]
        for name in ("worker", "trainer", "api", "archive")
    }
    labels["adapt"] = rendered("adapt").templates()["adapt"]["metadata"]["labels"]
    # In a cluster maintenance is a job, which is over before anybody could ask it.
    assert {each[monitor["jobLabel"]] for each in labels.values()} == names - {"maintenance"}
    for each in labels.values():
        assert monitor["selector"]["matchLabels"].items() <= each.items()


@pytest.mark.parametrize("size", ["small", "medium", "large"])
def test_the_fewest_machines_of_each_size_have_room_for_the_fewest_pods(
    production: Any, size: str
) -> None:
    text = (KUBERNETES.parent / "terraform/sizes.tf").read_text().partition(f"{size} = {{")[2]
    machine = re.search(r'\bnode_type += "(.*)"', text)
    machines = re.search(r"nodes_min += (\d+)", text)
    assert machine
    assert machines
    pods = {
        "worker": scaled(production, "worker")["minReplicaCount"],
        "api": scaled(production, "api")["minReplicaCount"],
        **{
            name: production.objects["Deployment", name]["spec"]["replicas"]
            for name in ("trainer", "archive")
        },
    }
    asked = sum(n * cores_asked_for(production.pods()[name]) for name, n in pods.items())

    assert asked < int(machines[1]) * CORES[machine[1]] * LEFT_BY_SYSTEM


def cores_asked_for(pod: Any) -> float:
    cpu = pod["containers"][0]["resources"]["requests"]["cpu"]
    return int(cpu[:-1]) / 1000 if cpu.endswith("m") else float(cpu)
