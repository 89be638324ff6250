"""The locks: what they name, and how `make setup` installs one."""

import hashlib
import re
import sys
import zipfile
from pathlib import Path

import pytest

from tests.commands import ROOT, run

MAKEFILE = (ROOT / "Makefile").read_text()
LOCKS = sorted(path.name for path in ROOT.glob("requirements-*.lock"))


def wheel(folder: Path, name: str) -> str:
    """Write a wheel of an empty distribution; return the line of a lock that names it."""
    info = f"{name}-1.0.dist-info"
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        file.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr(f"{info}/RECORD", "")
    return f"{name}==1.0 --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


@pytest.mark.slow
def test_without_uv_pip_installs_the_same(tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    (tmp_path / "Makefile").write_text(MAKEFILE)
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "clients/python").mkdir(parents=True)
    (tmp_path / "clients/python/pyproject.toml").touch()
    (tmp_path / "requirements-uv.lock").write_text("uv==1.0 --hash=sha256:" + "0" * 64)
    (tmp_path / "requirements-dev.lock").write_text(wheel(wheels, "locked"))
    wheel(wheels, "ours")

    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels)}
    asked = ("make", "setup", f"PYTHON={sys.executable}", "EDITABLE=ours")
    done = run(*asked, folder=tmp_path, **offline)

    assert done.returncode == 0, done.stderr
    assert "so pip does" in done.stdout
    installed = {path.name for path in (tmp_path / ".venv").glob("lib/*/site-packages/*.dist-info")}
    assert {"locked-1.0.dist-info", "ours-1.0.dist-info"} <= installed


def test_all_that_make_installs_is_locked_or_ours() -> None:
    installs = re.findall(r"\$\((?:PIP|UV)\) (?!:=)(.+?)(?= &&| \\|;|$)", MAKEFILE, re.MULTILINE)

    assert "--no-deps --require-hashes" in MAKEFILE.partition("LOCKED := ")[2].splitlines()[0]
    assert len(installs) == 9
    assert all("$(LOCKED)" in install or install == "$(EDITABLE)" for install in installs)


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_hashes_and_no_place_to_get_them_from(lock: str) -> None:
    text = (ROOT / lock).read_text()
    pins = re.findall(r"^[a-z0-9-]+(?:\[\w+\])?==.*(?:\n    .*)*", text, re.MULTILINE)

    assert pins
    assert all("--hash=sha256:" in pin for pin in pins)
    assert re.findall(r"https?:|--(?:index|extra|find|trusted)", text) == []
