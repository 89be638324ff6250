"""Starts etcd, Kubernetes's API server and its controllers on this machine."""

import secrets
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import httpx
import trustme

from infra.cluster_check.binaries import Binaries
from infra.cluster_check.cluster import Cluster
from infra.local.process import LOOPBACK, Command, Server, free_port, running

_CONTROLLERS: Final = (
    *("deployment-controller", "replicaset-controller", "statefulset-controller"),
    *("horizontal-pod-autoscaler-controller", "disruption-controller", "job-controller"),
    *("serviceaccount-controller", "namespace-controller"),
)
_DOWNSCALE_STABILIZATION: Final = "20s"
"""For autoscalers that do not set it; the default is 5 minutes."""


@contextmanager
def control_plane(binaries: Binaries, folder: Path) -> Iterator[Cluster]:
    """Run a control plane on free ports, with its data and logs in the folder.

    Raises:
        NotReadyError: a server ended, or did not answer in time.
    """
    token = secrets.token_urlsafe()
    _make_secrets(folder, token)
    trusted = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    with ExitStack() as stack:
        etcd = _etcd(binaries, folder, trusted)
        stack.enter_context(running(etcd))
        apiserver = _apiserver(binaries, folder, etcd.address, trusted)
        stack.enter_context(running(apiserver))
        kubeconfig = _kubeconfig(folder, apiserver.address, token)
        stack.enter_context(running(_controllers(binaries, folder, kubeconfig, trusted)))
        http = httpx.Client(
            base_url=apiserver.address,
            headers={"Authorization": f"Bearer {token}"},
            verify=trusted,
            timeout=30,
        )
        yield Cluster(stack.enter_context(http), binaries.kubectl, kubeconfig)


def _make_secrets(folder: Path, token: str) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.crt")
    # The key of `accounts` signs the tokens of service accounts.
    for name in ("server", "front-proxy", "accounts", "keda"):
        names = ("localhost", "kubernetes.default.svc", LOOPBACK)
        issued = authority.issue_cert(*names, common_name=name)
        issued.private_key_pem.write_to_path(folder / f"{name}.key")
        issued.cert_chain_pems[0].write_to_path(folder / f"{name}.crt")
    (folder / "tokens.csv").write_text(f"{token},admin,admin,system:masters\n")


def _etcd(binaries: Binaries, folder: Path, trusted: ssl.SSLContext) -> Server:
    address = f"http://{LOOPBACK}:{free_port()}"
    peers = f"http://{LOOPBACK}:{free_port()}"
    return Server(
        Command(
            name="etcd",
            argv=(
                *(str(binaries.etcd), "--data-dir", str(folder / "etcd")),
                *("--listen-client-urls", address, "--advertise-client-urls", address),
                *("--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers),
                *("--initial-cluster", f"default={peers}"),
                *("--unsafe-no-fsync", "--log-level", "warn"),
            ),
            log=folder / "etcd.log",
        ),
        address,
        "etcd",
        lambda: is_healthy(f"{address}/health", trusted),
    )


def _apiserver(binaries: Binaries, folder: Path, etcd: str, trusted: ssl.SSLContext) -> Server:
    port = free_port()
    address = f"https://{LOOPBACK}:{port}"
    issuer = "https://kubernetes.default.svc"
    return Server(
        Command(
            name="kube-apiserver",
            argv=(
                *(str(binaries.apiserver), "--etcd-servers", etcd),
                *("--bind-address", LOOPBACK, "--advertise-address", LOOPBACK),
                *("--secure-port", str(port), "--endpoint-reconciler-type", "none"),
                *("--tls-cert-file", str(folder / "server.crt")),
                *("--tls-private-key-file", str(folder / "server.key")),
                *("--service-cluster-ip-range", "10.96.0.0/16"),
                *("--service-account-issuer", issuer, "--api-audiences", issuer),
                *("--service-account-key-file", str(folder / "accounts.key")),
                *("--service-account-signing-key-file", str(folder / "accounts.key")),
                *("--token-auth-file", str(folder / "tokens.csv"), "--authorization-mode", "RBAC"),
                *("--client-ca-file", str(folder / "ca.crt")),
                *("--requestheader-client-ca-file", str(folder / "ca.crt")),
                *("--requestheader-allowed-names", "front-proxy"),
                *("--requestheader-extra-headers-prefix", "X-Remote-Extra-"),
                *("--requestheader-group-headers", "X-Remote-Group"),
                *("--requestheader-username-headers", "X-Remote-User"),
                *("--proxy-client-cert-file", str(folder / "front-proxy.crt")),
                *("--proxy-client-key-file", str(folder / "front-proxy.key")),
                *("--enable-admission-plugins", "NodeRestriction,PodSecurity"),
            ),
            log=folder / "kube-apiserver.log",
        ),
        address,
        "kube-apiserver",
        lambda: is_healthy(f"{address}/readyz", trusted),
    )


def _controllers(
    binaries: Binaries, folder: Path, kubeconfig: Path, trusted: ssl.SSLContext
) -> Server:
    port = free_port()
    address = f"https://{LOOPBACK}:{port}"
    return Server(
        Command(
            name="kube-controller-manager",
            argv=(
                *(str(binaries.controller_manager), "--kubeconfig", str(kubeconfig)),
                *("--authentication-kubeconfig", str(kubeconfig)),
                *("--authorization-kubeconfig", str(kubeconfig)),
                *("--controllers", ",".join(_CONTROLLERS), "--leader-elect=false"),
                *("--horizontal-pod-autoscaler-downscale-stabilization", _DOWNSCALE_STABILIZATION),
                *("--bind-address", LOOPBACK, "--secure-port", str(port)),
                *("--tls-cert-file", str(folder / "server.crt")),
                *("--tls-private-key-file", str(folder / "server.key")),
                *("--service-account-private-key-file", str(folder / "accounts.key")),
            ),
            log=folder / "kube-controller-manager.log",
        ),
        address,
        "kube-controller-manager",
        lambda: is_healthy(f"{address}/healthz", trusted),
    )


def _kubeconfig(folder: Path, server: str, token: str) -> Path:
    path = folder / "kubeconfig"
    path.write_text(
        "apiVersion: v1\n"
        "kind: Config\n"
        "clusters:\n"
        "  - name: local\n"
        f'    cluster: {{server: "{server}", certificate-authority: "{folder / "ca.crt"}"}}\n'
        f"users: [{{name: admin, user: {{token: {token}}}}}]\n"
        "contexts: [{name: local, context: {cluster: local, user: admin}}]\n"
        "current-context: local\n"
    )
    path.chmod(0o600)
    return path


def is_healthy(url: str, trusted: ssl.SSLContext) -> bool:
    """Return whether a server says that it is."""
    try:
        return httpx.get(url, verify=trusted, timeout=2).is_success
    except httpx.HTTPError:
        return False
