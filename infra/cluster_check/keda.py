"""Runs KEDA's operator and metrics adapter, which create the autoscalers and report the lag."""

import shutil
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from infra.cluster_check.binaries import Keda
from infra.cluster_check.cluster import Cluster
from infra.cluster_check.control_plane import is_healthy
from infra.cluster_check.metrics_api import register
from infra.local.process import LOOPBACK, Command, Server, free_port, running

_METRICS: Final = "external.metrics.k8s.io"
_OWN_NAMESPACE: Final = "kube-system"
"""KEDA's namespace, where it looks for secrets and finds none."""


@contextmanager
def keda(binaries: Keda, cluster: Cluster, folder: Path) -> Iterator[None]:
    """Run both on free ports, with the certificate authority of `folder`, and register them.

    Raises:
        NotReadyError: a server ended, or did not answer in time.
        CheckError: the cluster does not reach the adapter.
    """
    certificates = _certificates(folder)
    grpc = f"localhost:{free_port()}"
    port = free_port()
    with ExitStack() as stack:
        stack.enter_context(running(_operator(binaries, cluster, certificates, grpc)))
        stack.enter_context(running(_adapter(binaries, cluster, certificates, grpc, port)))
        register(cluster, "keda-adapter", port, _METRICS)
        yield


def _certificates(folder: Path) -> Path:
    """Return a folder with the files that both servers expect."""
    made = folder / "keda"
    made.mkdir()
    shutil.copy(folder / "ca.crt", made)
    for ending in ("crt", "key"):
        shutil.copy(folder / f"keda.{ending}", made / f"tls.{ending}")
    return made


def _operator(binaries: Keda, cluster: Cluster, certificates: Path, grpc: str) -> Server:
    health = f"{LOOPBACK}:{free_port()}"
    trusted = _trusted(certificates)
    return Server(
        Command(
            name="keda-operator",
            argv=(
                *(str(binaries.operator), "--cert-dir", str(certificates)),
                *("--ca-dir", str(certificates), "--metrics-service-bind-address", grpc),
                *("--health-probe-bind-address", health),
                *("--metrics-bind-address", f"{LOOPBACK}:{free_port()}"),
                # The objects of KEDA's chart that it writes its certificates to do not exist here.
                *("--enable-webhook-patching=false", "--enable-apiservice-patching=false"),
            ),
            log=certificates.parent / "keda-operator.log",
            environment=_environment(cluster),
        ),
        health,
        "KEDA's operator",
        lambda: is_healthy(f"http://{health}/readyz", trusted),
    )


def _adapter(binaries: Keda, cluster: Cluster, certificates: Path, grpc: str, port: int) -> Server:
    address = f"https://localhost:{port}"
    trusted = _trusted(certificates)
    kubeconfig = str(cluster.kubeconfig)
    return Server(
        Command(
            name="keda-adapter",
            argv=(
                *(str(binaries.adapter), "--secure-port", str(port), "--bind-address", LOOPBACK),
                *("--client-ca-file", str(certificates / "ca.crt")),
                *("--tls-cert-file", str(certificates / "tls.crt")),
                *("--tls-private-key-file", str(certificates / "tls.key")),
                *("--cert-dir", str(certificates), "--metrics-service-address", grpc),
                *("--port", str(free_port()), "--lister-kubeconfig", kubeconfig),
                *("--authentication-kubeconfig", kubeconfig),
                *("--authorization-kubeconfig", kubeconfig),
            ),
            log=certificates.parent / "keda-adapter.log",
            environment=_environment(cluster),
        ),
        address,
        "KEDA's metrics adapter",
        lambda: is_healthy(f"{address}/readyz", trusted),
    )


def _environment(cluster: Cluster) -> dict[str, str]:
    return {
        "KUBECONFIG": str(cluster.kubeconfig),
        "POD_NAMESPACE": _OWN_NAMESPACE,
        "KEDA_CLUSTER_OBJECT_NAMESPACE": _OWN_NAMESPACE,
        # All of them.
        "WATCH_NAMESPACE": "",
    }


def _trusted(certificates: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificates / "ca.crt"))
