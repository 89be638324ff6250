"""Runs a worker for each of the workers' pods, instead of the kubelet."""

import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import httpx

from infra.cluster_check.cluster import Cluster, Object
from infra.cluster_check.pods import NAME, say_ready
from infra.cluster_check.quota import Quota
from infra.local.process import LOOPBACK, Command, ended, free_port, start, stop

_LOOK_EVERY_S: Final = 0.5
_ANSWER_WITHIN_S: Final = 2.0


@dataclass(slots=True)
class _Worker:
    command: Command
    process: subprocess.Popen[bytes]
    url: str
    is_ready: bool = False


class Workers:
    """Follows the pods, in its own thread."""

    def __init__(
        self,
        cluster: Cluster,
        namespace: str,
        settings: Mapping[str, str],
        folder: Path,
        share: float,
    ) -> None:
        """Take the pods' location, the settings that differ here, and a pod's CPU.

        Args:
            cluster: has the pods.
            namespace: of the pods.
            settings: addresses of Kafka and Redis.
            folder: for the logs.
            share: of a core, applied to each worker once it is ready; it starts without a limit.
        """
        self._cluster = cluster
        self._namespace = namespace
        self._settings = settings
        self._folder = folder
        self._quota = Quota(share)
        self._http = httpx.Client(timeout=_ANSWER_WITHIN_S)
        self._by_uid: dict[str, _Worker] = {}
        self._ends = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._follow, name="workers", daemon=True)

    def __enter__(self) -> Self:
        """Start following."""
        self._quota.__enter__()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop all workers."""
        self._ends.set()
        self._thread.join()
        self._stop(*self._by_uid)
        self._quota.__exit__()
        self._http.close()

    @property
    def ready(self) -> int:
        """The number of ready workers.

        Raises:
            Exception: the error that stopped following the pods.
        """
        if self._failure is not None:
            raise self._failure
        return sum(worker.is_ready for worker in list(self._by_uid.values()))

    def _follow(self) -> None:
        # The kernel ends what a thread has started when the thread ends: this one ends last.
        try:
            while not self._ends.wait(_LOOK_EVERY_S):
                self._look()
        except Exception as failure:  # noqa: BLE001 (raised to the next caller)
            self._failure = failure
        finally:
            self._stop(*self._by_uid)

    def _look(self) -> None:
        pods = self._cluster.all("Pod", self._namespace, {NAME: "worker"})
        by_uid = {pod["metadata"]["uid"]: pod for pod in pods}
        self._stop(*(self._by_uid.keys() - by_uid.keys()))
        for uid, pod in by_uid.items():
            if uid not in self._by_uid:
                self._by_uid[uid] = self._start(pod)
            elif ended(self._by_uid[uid].process) is not None:
                # Like the kubelet, restart a container, which keeps its pod and its name.
                say_ready(self._cluster, self._namespace, pod["metadata"]["name"], is_ready=False)
                self._by_uid[uid] = self._start(pod)
            else:
                self._note_readiness(pod, self._by_uid[uid])

    def _start(self, pod: Object) -> _Worker:
        port, name = free_port(), pod["metadata"]["name"]
        (container,) = pod["spec"]["containers"]
        environment = {
            **environment_of(container, pod),
            **self._settings,
            "METRICS_HOST": LOOPBACK,
            "METRICS_PORT": str(port),
        }
        command = Command(
            name=name,
            argv=(sys.executable, "-m", *container["args"]),
            log=self._folder / f"{name}.log",
            environment=environment,
            grace_s=pod["spec"]["terminationGracePeriodSeconds"],
        )
        return _Worker(command, start(command), f"http://{LOOPBACK}:{port}/health/ready")

    def _note_readiness(self, pod: Object, worker: _Worker) -> None:
        is_ready = False
        with suppress(httpx.HTTPError):
            is_ready = self._http.get(worker.url).is_success
        if is_ready:
            self._quota.limit(worker.process.pid)
        if is_ready != worker.is_ready:
            name = pod["metadata"]["name"]
            say_ready(self._cluster, self._namespace, name, is_ready=is_ready)
            worker.is_ready = is_ready

    def _stop(self, *uids: str) -> None:
        gone = [self._by_uid.pop(uid) for uid in uids]
        for worker in gone:
            self._quota.release(worker.process.pid)
        stop(*((worker.process, worker.command) for worker in gone))


def environment_of(container: Object, pod: Object) -> dict[str, str]:
    """Return the variables set in a container's spec, without those of maps and secrets."""
    found = {}
    for variable in container.get("env", []):
        field = variable.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath")
        if "value" in variable:
            found[variable["name"]] = variable["value"]
        elif field == "metadata.name":
            found[variable["name"]] = pod["metadata"]["name"]
    return found
