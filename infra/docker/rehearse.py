"""Builds an image's content without Docker: `python -m infra.docker.rehearse [PROGRAM...]`.

The builder stage's own instructions run here, in a temporary folder and with this Python instead of
the image's. Then every module of the program is imported from the result, in which no other program
may be found. It downloads everything in the locks, so no test runs it.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import typer
from rich.console import Console

from infra.docker.images import IMAGES

_ROOT: Final = Path(__file__).parents[2]
_DOCKERFILE: Final = Path(__file__).with_name("Dockerfile")
_IMPORT_ALL: Final = """\
import importlib, importlib.util, pkgutil, sys

package, left_out, *others = sys.argv[1:]
left_out = tuple(f"{name}." for name in left_out.split())
root = importlib.import_module(package)
names = [package, *(m.name for m in pkgutil.walk_packages(root.__path__, f"{package}."))]
for name in names:
    if not f"{name}.".startswith(left_out):
        importlib.import_module(name)
found = [other for other in others if importlib.util.find_spec(other)]
sys.exit(f"other programs are there too: {found}" if found else 0)
"""


class Instruction(NamedTuple):
    """One of a Dockerfile: what comes before and after the first space."""

    keyword: str
    arguments: str


def builder_stage(dockerfile: str) -> list[Instruction]:
    """Return the instructions of the first stage, each on one line, without comments."""
    lines = "\n".join(line for line in dockerfile.splitlines() if not line.startswith("#"))
    first_stage = re.split(r"^FROM .*$", lines, flags=re.MULTILINE)[1]
    joined = re.sub(r"\\\n\s*", " ", first_stage)
    parts = [line.partition(" ") for line in joined.splitlines() if line.strip()]
    return [Instruction(keyword, arguments) for keyword, _, arguments in parts]


def rehearse(program: str, folder: Path) -> None:
    """Run the builder stage for a program, with `/` moved to `folder`.

    Raises:
        subprocess.CalledProcessError: one of its commands failed.
        ValueError: the stage has an instruction that this cannot follow.
    """
    image = IMAGES[program]
    source = folder / "src"
    source.mkdir()
    venv.create(folder / "python", with_pip=True)
    environment = os.environ | {"PATH": f"{folder / 'python/bin'}:{os.environ['PATH']}"}
    for keyword, text in builder_stage(_DOCKERFILE.read_text()):
        arguments = text.replace("${PROGRAM}", program).replace("${PACKAGE}", image.package)
        if keyword == "COPY":
            *sources, target = arguments.split()
            for name in sources:
                _copy(_ROOT / name, source / target)
        elif keyword == "RUN":
            here = re.sub(r"(?<=\s)/(?=venv|wheels)", f"{folder}/", arguments)
            subprocess.run(here, shell=True, check=True, cwd=source, env=environment)  # noqa: S602
        elif keyword not in {"ARG", "WORKDIR"}:
            raise ValueError(f"{_DOCKERFILE} has {keyword} in its first stage: teach rehearse.py")
    others = {other.package for other in IMAGES.values()} - {image.package}
    python = folder / "venv/bin/python"
    asked: list[str | Path] = [
        python,
        "-P",
        "-c",
        _IMPORT_ALL,
        image.package,
        " ".join(image.left_out),
        *others,
    ]
    subprocess.run(asked, check=True, cwd=folder)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        left_out = shutil.ignore_patterns("__pycache__", "node_modules")
        shutil.copytree(source, target, ignore=left_out)
    else:
        shutil.copy(source, target)


def _sizes(folder: Path) -> Iterator[int]:
    return (path.lstat().st_size for path in folder.rglob("*"))


def main(
    programs: Annotated[list[str] | None, typer.Argument(help="all, if none is named")] = None,
) -> None:
    """Rehearse the images of some programs, or of all."""
    console = Console(soft_wrap=True)
    for program in programs or IMAGES:
        if program not in IMAGES:
            sys.exit(f"there is no image {program!r}, only {', '.join(IMAGES)}")
        with tempfile.TemporaryDirectory() as folder:
            try:
                rehearse(program, Path(folder))
            except subprocess.CalledProcessError as failed:
                sys.exit(f"{program}: failed with exit code {failed.returncode}, see above")
            megabytes = sum(_sizes(Path(folder) / "venv")) / 1e6
        console.print(
            f"[green]ok[/] {program}: {megabytes:.0f} MB on top of Python", highlight=False
        )


if __name__ == "__main__":
    typer.run(main)
