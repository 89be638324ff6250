"""Builds the check's tools, once: etcd, Kubernetes's servers and kubectl, its linter, and KEDA.

Their Go modules take half an hour on two cores, and KEDA as long again. Results are kept in
`~/.cache/tickrec/cluster-check`, or below XDG_CACHE_HOME.
"""

import fcntl
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_MODULES: Final = Path(__file__).with_name("modules")
_KEDA: Final = "github.com/kedacore/keda/v2"
_PROMETHEUS_OPERATOR: Final = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
_GO_PACKAGES: Final = {
    "etcd": ("etcd", "go.etcd.io/etcd/server/v3"),
    "kube-apiserver": ("kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver"),
    "kube-controller-manager": ("kubernetes", "k8s.io/kubernetes/cmd/kube-controller-manager"),
    "kubectl": ("kubernetes", "k8s.io/kubernetes/cmd/kubectl"),
    "kube-score": ("kube-score", "github.com/zegl/kube-score/cmd/kube-score"),
    "keda-operator": ("keda", f"{_KEDA}/cmd/operator"),
    "keda-adapter": ("keda", f"{_KEDA}/cmd/adapter"),
}
"""binary -> folder of its go.mod, package"""


class NotMadeError(RuntimeError):
    """A tool cannot be built here; the message says why."""


@dataclass(frozen=True, slots=True)
class Keda:
    """KEDA's two servers."""

    operator: Path
    adapter: Path


@dataclass(frozen=True, slots=True)
class Binaries:
    """Paths of the tools."""

    kubectl: Path
    etcd: Path
    apiserver: Path
    controller_manager: Path
    kube_score: Path
    definitions: tuple[Path, ...]
    """folders of custom resource definitions"""
    keda: Keda | None
    """if requested"""


def binaries(*, with_keda: bool) -> Binaries:
    """Return the tools, built if missing.

    Raises:
        NotMadeError: one cannot be built here.
    """
    if shutil.which("go") is None:
        raise NotMadeError("no go on PATH: install Go 1.26 or newer")
    with _cache() as folder:
        (folder / "bin").mkdir(exist_ok=True)
        built = {
            name: _built(folder, name)
            for name in _GO_PACKAGES
            if with_keda or not name.startswith("keda-")
        }
        return Binaries(
            kubectl=built["kubectl"],
            etcd=built["etcd"],
            apiserver=built["kube-apiserver"],
            controller_manager=built["kube-controller-manager"],
            kube_score=built["kube-score"],
            definitions=(
                _module(f"{_KEDA}@{_version('keda')}") / "config/crd/bases",
                _module(_PROMETHEUS_OPERATOR) / "example/prometheus-operator-crd",
            ),
            keda=Keda(built["keda-operator"], built["keda-adapter"]) if with_keda else None,
        )


@contextmanager
def _cache() -> Iterator[Path]:
    """Lock the folder that the tools are kept in."""
    home = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
    folder = home / "tickrec" / "cluster-check"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def _built(folder: Path, name: str) -> Path:
    module, package = _GO_PACKAGES[name]
    version = _version(module)
    binary = folder / "bin" / f"{name}-{version}"
    if binary.exists():
        return binary
    print(f"building {name} {version}, once", flush=True)  # noqa: T201 (it takes minutes)
    with tempfile.TemporaryDirectory(dir=folder) as source:
        shutil.copy(_go_mod(module), source)
        half_done = Path(source) / name
        flags = f"-s -w {_stamp(version) if module == 'kubernetes' else ''}"
        argv = ["go", "build", "-mod=mod", "-trimpath", "-ldflags", flags]
        _run([*argv, "-o", str(half_done), package], folder=Path(source))
        half_done.rename(binary)
    return binary


def _stamp(version: str) -> str:
    """Return the linker flags that set the version of Kubernetes's servers."""
    package = "k8s.io/component-base/version"
    major, minor, _ = version.removeprefix("v").split(".")
    known = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
    return " ".join(f"-X {package}.{name}={value}" for name, value in known.items())


def _version(module: str) -> str:
    found = re.search(r"^require \S+ (\S+)$", _go_mod(module).read_text(), re.MULTILINE)
    if found is None:
        raise ValueError(f"{_go_mod(module)} requires nothing")
    return found[1]


def _go_mod(module: str) -> Path:
    return _MODULES / module / "go.mod"


def _module(name: str) -> Path:
    """Return the folder of a Go module's source, downloaded if missing."""
    return Path(json.loads(_run(["go", "mod", "download", "-json", name]))["Dir"])


def _run(argv: Sequence[str], folder: Path | None = None) -> str:
    """Run a program, with cgo disabled for Go, and return its output.

    Raises:
        NotMadeError: it failed; with its output.
    """
    environment = {**os.environ, "CGO_ENABLED": "0"}
    done = subprocess.run(
        argv, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise NotMadeError(f"{' '.join(argv)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
