"""Applies the overlays and their prerequisites, as an operator would."""

import json
from pathlib import Path
from typing import Final

from infra.cluster_check.autoscaler import autoscaler_of
from infra.cluster_check.cluster import Cluster
from infra.cluster_check.pods import NAME, say_all_ready

NAMESPACE: Final = "tickrec"
OVERLAYS: Final = Path(__file__).parents[1] / "kubernetes" / "overlays"
_REFUSED: Final = 429
_ALLOWED: Final = 201


def define(cluster: Cluster, folders: tuple[Path, ...]) -> int:
    """Define the custom resources of KEDA and of the Prometheus operator; return their number."""
    files = [file for folder in folders for file in sorted(folder.glob("*.yaml"))]
    cluster.apply("\n---\n".join(file.read_text() for file in files))
    cluster.wait_until(
        lambda: _are_established(cluster, len(files)), "custom resources are defined"
    )
    return len(files)


def _are_established(cluster: Cluster, n: int) -> bool:
    said = cluster.raw("apis/apiextensions.k8s.io/v1/customresourcedefinitions")["items"]
    established = [
        each
        for one in said
        for each in (one.get("status", {}).get("conditions") or [])
        if each["type"] == "Established" and each["status"] == "True"
    ]
    return len(established) >= n


def apply(cluster: Cluster, overlay: str) -> int:
    """Apply an overlay strictly, and the autoscalers that KEDA would create; return its objects."""
    lines = cluster.apply(cluster.rendered(OVERLAYS / overlay))
    for scaled_object in cluster.all("ScaledObject", NAMESPACE):
        cluster.apply(json.dumps(autoscaler_of(scaled_object)))
    return len(lines)


def evict(cluster: Cluster, name: str) -> tuple[int, list[int]]:
    """Evict pods of a program until its budget refuses one.

    Returns:
        How many pods it had, and the status of each response: the last is 429.
    """
    labels = {NAME: name}

    def is_settled() -> bool:
        say_all_ready(cluster, NAMESPACE, labels)
        status = cluster.get("PodDisruptionBudget", NAMESPACE, name).get("status", {})
        healthy, pods = status.get("currentHealthy", 0), status.get("expectedPods", 0)
        return bool(status.get("disruptionsAllowed") and healthy == pods > 1)

    cluster.wait_until(is_settled, f"the budget of {name} allows an eviction")
    pods = [pod["metadata"]["name"] for pod in cluster.all("Pod", NAMESPACE, labels)]
    answers = []
    for pod in pods:
        answers.append(cluster.evict(NAMESPACE, pod))
        if answers[-1] != _ALLOWED:
            break
    return len(pods), answers
