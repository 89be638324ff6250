"""A cluster's API, as far as the check uses it."""

import subprocess
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import tenacity

Object = dict[str, Any]
"""JSON objects of the API."""

NAME: Final = "app.kubernetes.io/name"
"""The label that every pod has its program's name in."""
_STARTED_AGO: Final = timedelta(hours=1)
"""Autoscalers ignore the CPU of pods that started within five minutes."""
_GONE: Final = 404
_LATER: Final = 429
_WITHIN_S: Final = 120
_LOOK_EVERY_S: Final = 0.3
_MERGE: Final = {"Content-Type": "application/merge-patch+json"}
_PLURALS: Final = {
    "HorizontalPodAutoscaler": "apis/autoscaling/v2/namespaces/{}/horizontalpodautoscalers",
    "Pod": "api/v1/namespaces/{}/pods",
    "PodDisruptionBudget": "apis/policy/v1/namespaces/{}/poddisruptionbudgets",
    "ScaledObject": "apis/keda.sh/v1alpha1/namespaces/{}/scaledobjects",
    "StatefulSet": "apis/apps/v1/namespaces/{}/statefulsets",
}


class CheckError(RuntimeError):
    """The cluster did not behave as expected."""


class Cluster:
    """Talks to the API server of one cluster."""

    def __init__(self, http: httpx.Client, kubectl: Path, kubeconfig: Path) -> None:
        """Take a client of the API server, and kubectl with its configuration."""
        self.kubeconfig = kubeconfig
        self._http = http
        self._kubectl = (str(kubectl), "--kubeconfig", str(kubeconfig))

    def rendered(self, folder: Path) -> str:
        """Return a kustomization as YAML.

        Raises:
            CheckError: kustomize refuses it.
        """
        return self._run("kustomize", str(folder))

    def apply(self, manifests: str) -> list[str]:
        """Apply YAML or JSON server-side, strictly; return a line per object.

        Raises:
            CheckError: the server refuses an object.
        """
        strictly = ("apply", "--server-side", "--validate=strict", "--filename", "-")
        return self._run(*strictly, given=manifests).splitlines()

    def scale(self, namespace: str, target: Object, replicas: int) -> None:
        """Set how many pods a Deployment or StatefulSet has."""
        named = f"{target['kind'].lower()}/{target['name']}"
        self._run("scale", "--namespace", namespace, f"--replicas={replicas}", named)

    def get(self, kind: str, namespace: str, name: str) -> Object:
        """Return an object."""
        return self._asked("GET", f"{_PLURALS[kind].format(namespace)}/{name}")

    def all(
        self, kind: str, namespace: str, labels: Mapping[str, str] | None = None
    ) -> list[Object]:
        """Return all objects of a kind that have these labels."""
        selector = ",".join(f"{key}={value}" for key, value in (labels or {}).items())
        path = f"{_PLURALS[kind].format(namespace)}?labelSelector={selector}"
        found: list[Object] = self._asked("GET", path)["items"]
        return found

    def raw(self, path: str) -> Object:
        """Return the server's response at a path."""
        return self._asked("GET", path)

    def mark_ready(self, namespace: str, labels: Mapping[str, str]) -> list[str]:
        """Mark all pods with these labels as running and ready, like the kubelet; return them."""
        since = (datetime.now(UTC) - _STARTED_AGO).isoformat(timespec="seconds")
        conditions = [
            {"type": kind, "status": "True", "lastTransitionTime": since}
            for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready")
        ]
        status = {"phase": "Running", "startTime": since, "conditions": conditions}
        names = [pod["metadata"]["name"] for pod in self.all("Pod", namespace, labels)]
        for name in names:
            path = f"{_PLURALS['Pod'].format(namespace)}/{name}/status"
            answer = self._http.patch(path, json={"status": status}, headers=_MERGE)
            if answer.status_code != _GONE:
                _raise_if_refused(answer)
        return names

    def evict(self, namespace: str, pod: str) -> int:
        """Request a pod's eviction; return the response's status."""
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod, "namespace": namespace},
        }
        path = f"{_PLURALS['Pod'].format(namespace)}/{pod}/eviction"
        return self._http.post(path, json=body).status_code

    def delete_namespace(self, name: str) -> None:
        """Delete a namespace and all in it; wait until it is gone."""
        self._asked("DELETE", f"api/v1/namespaces/{name}")
        self.wait_until(
            lambda: self._http.get(f"api/v1/namespaces/{name}").status_code == _GONE,
            f"namespace {name} is gone",
        )

    def wait_until(
        self, holds: Callable[[], bool], what: str, within_s: float = _WITHIN_S
    ) -> float:
        """Wait until a condition holds; return the seconds that took.

        Raises:
            CheckError: it did not hold in time.
        """
        began_s = time.monotonic()
        try:
            tenacity.Retrying(
                retry=tenacity.retry_if_result(lambda held: not held),
                stop=tenacity.stop_after_delay(within_s),
                wait=tenacity.wait_fixed(_LOOK_EVERY_S),
            )(holds)
        except tenacity.RetryError:
            raise CheckError(f"not within {within_s:g} s: {what}") from None
        return time.monotonic() - began_s

    def _asked(self, method: str, path: str) -> Object:
        # A newly defined resource is not served at once, and delays others, too.
        answer = tenacity.Retrying(
            retry=tenacity.retry_if_result(lambda answer: answer.status_code == _LATER),
            stop=tenacity.stop_after_delay(_WITHIN_S),
            wait=tenacity.wait_fixed(_LOOK_EVERY_S),
            retry_error_callback=lambda tired: tired.outcome and tired.outcome.result(),
        )(self._http.request, method, path)
        _raise_if_refused(answer)
        found: Object = answer.json()
        return found

    def _run(self, *arguments: str, given: str | None = None) -> str:
        argv = [*self._kubectl, *arguments]
        done = subprocess.run(argv, input=given, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise CheckError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout


def _raise_if_refused(answer: httpx.Response) -> None:
    if not answer.is_success:
        asked = f"{answer.request.method} {answer.request.url.path}"
        raise CheckError(f"{asked}: {answer.status_code} {answer.text.strip()}")
