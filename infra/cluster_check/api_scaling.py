"""Makes the API's pods busy, then idle again, and watches its autoscaler."""

from infra.cluster_check.cluster import Cluster
from infra.cluster_check.metrics_api import MetricsApi
from infra.cluster_check.overlays import NAMESPACE
from infra.cluster_check.pods import NAME, say_all_ready

_STEPS = (0, 900, 0)
"""Millicores of each pod, of the 1,000 that it requests: idle, busy, idle."""
_WITHIN_S = 180


def follow(cluster: Cluster, metrics: MetricsApi) -> list[tuple[int, int, float]]:
    """Return (millicores of each pod, final number of pods, seconds until then) of each step."""
    spec = cluster.get("HorizontalPodAutoscaler", NAMESPACE, "api")["spec"]
    fewest, most = spec["minReplicas"], spec["maxReplicas"]
    seen = []
    for millicores in _STEPS:
        metrics.cpu_millicores = millicores
        wanted = most if millicores else fewest

        def has_come(wanted: int = wanted) -> bool:
            return len(say_all_ready(cluster, NAMESPACE, {NAME: "api"})) == wanted

        took_s = cluster.wait_until(has_come, f"{wanted} pods of the API", _WITHIN_S)
        seen.append((millicores, wanted, took_s))
    return seen
