"""Serves pods' CPU, as set here, in place of metrics-server."""

import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from infra.cluster_check.cluster import Cluster, Object
from infra.local.process import LOOPBACK

_CPU: Final = "metrics.k8s.io"
_VERSION: Final = "v1beta1"
_NAMESPACE: Final = "kube-system"
_DEPTH_OF_A_VERSION: Final = 3  # /apis/<group>/<version>
_RESOURCES: Final[Object] = {
    "kind": "APIResourceList",
    "apiVersion": "v1",
    "groupVersion": f"{_CPU}/{_VERSION}",
    "resources": [
        {
            "name": "pods",
            "singularName": "",
            "namespaced": True,
            "kind": "PodMetrics",
            "verbs": ["get", "list"],
        }
    ],
}


class MetricsApi:
    """The served metrics, which may change at any time."""

    def __init__(self, cluster: Cluster) -> None:
        """Start with pods that use no CPU."""
        self.cpu_millicores = 0
        """of every pod"""
        self._cluster = cluster

    def answer(self, path: str, query: Mapping[str, list[str]]) -> Object:
        """Return the response to a GET."""
        parts = path.strip("/").split("/")
        if len(parts) < _DEPTH_OF_A_VERSION:
            version = {"groupVersion": f"{_CPU}/{_VERSION}", "version": _VERSION}
            return {"kind": "APIGroup", "apiVersion": "v1", "name": _CPU, "versions": [version]}
        if len(parts) == _DEPTH_OF_A_VERSION:
            return _RESOURCES
        namespace = parts[4]
        selector = query.get("labelSelector", [""])[0]
        labels = dict(one.split("=", 1) for one in selector.split(",") if "=" in one)
        pods = self._cluster.all("Pod", namespace, labels)
        return {
            "kind": "PodMetricsList",
            "apiVersion": f"{_CPU}/{_VERSION}",
            "metadata": {},
            "items": [self._usage(pod) for pod in pods],
        }

    def _usage(self, pod: Object) -> Object:
        usage = {"cpu": f"{self.cpu_millicores}m", "memory": "100Mi"}
        containers = [
            {"name": container["name"], "usage": usage} for container in pod["spec"]["containers"]
        ]
        metadata = {key: pod["metadata"][key] for key in ("name", "namespace", "labels")}
        return {
            "metadata": metadata,
            "timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "window": "15s",
            "containers": containers,
        }


@contextmanager
def metrics_api(cluster: Cluster, folder: Path) -> Iterator[MetricsApi]:
    """Serve it on a free port with the folder's certificate, and register it with the cluster."""
    api = MetricsApi(cluster)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            """Log nothing: the controllers poll several times a minute."""

        def do_GET(self) -> None:
            """Answer."""
            asked = urlsplit(self.path)
            body = json.dumps(api.answer(asked.path, parse_qs(asked.query))).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.crt", folder / "server.key")
    server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        register(cluster, "metrics", server.server_port, _CPU)
        yield api
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def register(cluster: Cluster, name: str, port: int, group: str) -> None:
    """Register a server on this machine with the cluster for an API group.

    Raises:
        CheckError: the server does not answer the cluster.
    """
    cluster.apply(json.dumps(_registration(name, port, group)))
    cluster.wait_until(lambda: _is_available(cluster, group), f"{group} answers")


def _registration(name: str, port: int, group: str) -> Object:
    service: Object = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": _NAMESPACE},
        "spec": {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": port}]},
    }
    registered: Object = {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": f"{_VERSION}.{group}"},
        "spec": {
            "service": {"name": name, "namespace": _NAMESPACE, "port": port},
            "group": group,
            "version": _VERSION,
            "insecureSkipTLSVerify": True,
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
        },
    }
    return {"apiVersion": "v1", "kind": "List", "items": [service, registered]}


def _is_available(cluster: Cluster, group: str) -> bool:
    said = cluster.raw(f"apis/apiregistration.k8s.io/v1/apiservices/{_VERSION}.{group}")
    conditions = said.get("status", {}).get("conditions") or []
    return any(each["type"] == "Available" and each["status"] == "True" for each in conditions)
