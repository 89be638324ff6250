"""Applies the overlays and their prerequisites, as an operator would."""

import subprocess
from pathlib import Path
from typing import Final

from infra.cluster_check.cluster import NAME, CheckError, Cluster

NAMESPACE: Final = "tickrec"
OVERLAYS: Final = Path(__file__).parents[1] / "kubernetes" / "overlays"
_ALLOWED, _REFUSED = 201, 429
_LINT: Final = (
    *("score", "--kubernetes-version", "v1.37", "--output-format", "ci", "--exit-one-on-warning"),
    # Off by default. The other optional checks want requests to equal limits.
    *("--enable-optional-test", "container-ports-check"),
    *("--enable-optional-test", "container-seccomp-profile"),
    # The answers to these are in docs/kubernetes.md, under what linters find.
    "--ignore-container-cpu-limit",
    *("--ignore-test", "container-image-pull-policy"),
    *("--ignore-test", "deployment-has-host-podantiaffinity"),
    *("--ignore-test", "statefulset-has-host-podantiaffinity"),
    *("--ignore-test", "deployment-replicas"),
    *("--ignore-test", "pod-probes-identical"),
)


def lint(kube_score: Path, manifests: str) -> int:
    """Return how many of kube-score's checks pass.

    Raises:
        CheckError: one does not.
    """
    argv = [str(kube_score), *_LINT, "-"]
    done = subprocess.run(argv, input=manifests, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    if done.returncode != 0:
        found = [line for line in lines if line.startswith(("[WARNING]", "[CRITICAL]"))]
        raise CheckError("\n".join(["kube-score:", *(found or [done.stderr.strip()])]))
    return sum(line.startswith("[OK]") for line in lines)


def define(cluster: Cluster, folders: tuple[Path, ...]) -> int:
    """Define the custom resources of KEDA and of the Prometheus operator; return their number."""
    files = [file for folder in folders for file in sorted(folder.glob("*.yaml"))]
    cluster.apply("\n---\n".join(file.read_text() for file in files))
    cluster.wait_until(
        lambda: _are_established(cluster, len(files)), "custom resources are defined"
    )
    return len(files)


def _are_established(cluster: Cluster, n: int) -> bool:
    found = cluster.raw("apis/apiextensions.k8s.io/v1/customresourcedefinitions")["items"]
    established = [
        each
        for one in found
        for each in (one.get("status", {}).get("conditions") or [])
        if each["type"] == "Established" and each["status"] == "True"
    ]
    return len(established) >= n


def apply(cluster: Cluster, overlay: str) -> int:
    """Apply an overlay strictly; return its number of objects.

    Programs that KEDA scales get as many pods as it would start.
    """
    objects = cluster.apply(cluster.rendered(OVERLAYS / overlay))
    for scaled in cluster.all("ScaledObject", NAMESPACE):
        spec = scaled["spec"]
        cluster.scale(NAMESPACE, spec["scaleTargetRef"], spec["minReplicaCount"])
    return len(objects)


def evict(cluster: Cluster, name: str) -> int:
    """Evict two pods of a program, of which its budget allows one; return how many it had.

    Raises:
        CheckError: the budget allows both, or none.
    """
    labels = {NAME: name}

    def is_settled() -> bool:
        cluster.mark_ready(NAMESPACE, labels)
        status = cluster.get("PodDisruptionBudget", NAMESPACE, name).get("status", {})
        healthy, pods = status.get("currentHealthy", 0), status.get("expectedPods", 0)
        return bool(status.get("disruptionsAllowed") and healthy == pods > 1)

    cluster.wait_until(is_settled, f"the budget of {name} allows an eviction")
    pods = [pod["metadata"]["name"] for pod in cluster.all("Pod", NAMESPACE, labels)]
    answers = [cluster.evict(NAMESPACE, pod) for pod in pods[:2]]
    if answers != [_ALLOWED, _REFUSED]:
        raise CheckError(f"two of {len(pods)} pods of {name} were evicted with status {answers}")
    return len(pods)
