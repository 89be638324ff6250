"""Reports pods' status like the kubelet: that they run, and whether they are ready."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from infra.cluster_check.cluster import Cluster, Object

NAME: Final = "app.kubernetes.io/name"
_STARTED_AGO: Final = timedelta(hours=1)
"""Autoscalers ignore the CPU of pods that started within five minutes."""


def say_ready(cluster: Cluster, namespace: str, pod: str, *, is_ready: bool = True) -> None:
    """Mark a pod as running, and ready or not."""
    since = (datetime.now(UTC) - _STARTED_AGO).isoformat(timespec="seconds")
    conditions = [
        {"type": kind, "status": str(is_ready), "lastTransitionTime": since}
        for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready")
    ]
    status: Object = {"phase": "Running", "startTime": since, "conditions": conditions}
    cluster.patch_status("Pod", namespace, pod, status)


def say_all_ready(cluster: Cluster, namespace: str, labels: Mapping[str, str]) -> list[str]:
    """Mark all pods with these labels as ready; return their names."""
    names = [pod["metadata"]["name"] for pod in cluster.all("Pod", namespace, labels)]
    for name in names:
        say_ready(cluster, namespace, name)
    return names
