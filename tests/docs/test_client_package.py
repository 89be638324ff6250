"""The Python client as its users install it: from the wheel, without this repository."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

CLIENT: Final = Path(__file__).parents[2] / "clients/python"
PROGRAM: Final = """
import sys, tickrec_client
from tickrec_client.structs import Bar, Bars
assert "site-packages" in tickrec_client.__file__, tickrec_client.__file__
assert not {"api", "contracts", "pandas", "tenacity", "websockets"} & sys.modules.keys()
bar = Bar(t=0, o=1, h=1, l=1, c=1, v=0, n=1, vw=None, closed=True)
try:
    Bars(instrument_id=4, interval="1m", bars=[bar], next_page_token=None).to_pandas()
except ModuleNotFoundError as error:
    print(error)
with tickrec_client.Tickrec("http://127.0.0.1:1") as tickrec:
    try:
        tickrec.stream()
    except ModuleNotFoundError as error:
        print(error)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy: setuptools builds in the folder of its sources."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(CLIENT, source, ignore=shutil.ignore_patterns("build", "*.egg-info"))
    build = ("-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation")
    subprocess.run([sys.executable, *build, "--wheel-dir", folder, source], check=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.mark.stack
def test_it_works_installed_from_the_wheel_alone(wheel: Path, tmp_path: Path) -> None:
    python = tmp_path / "venv/bin/python"
    here = (sys.executable, "-m")
    subprocess.run([*here, "venv", "--without-pip", tmp_path / "venv"], check=True)
    pip = (*here, "pip", "--python", python)
    subprocess.run([*pip, "install", "--quiet", "--no-compile", wheel], check=True)
    said = subprocess.run(
        [python, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert said.stdout.splitlines() == [
        "No module named 'pandas'",
        "stream() needs websockets: install tickrec-client[websocket]",
    ]
