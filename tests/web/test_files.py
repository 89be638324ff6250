"""What the page's files contain, and must not contain."""

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from infra.local.paths import PROJECT

WEB: Final = PROJECT / "web"
OURS: Final = ("api", "parts", "shell", "state", "views")
IMPORTED: Final = re.compile(r"""(?:from|import\()\s*"([^"]+)"|^import "([^"]+)";""", re.MULTILINE)


def sources() -> Iterator[Path]:
    """Return our own files that a browser runs."""
    yield WEB / "main.js"
    for folder in OURS:
        yield from sorted((WEB / folder).glob("*.js"))


def test_the_libraries_are_what_was_released() -> None:
    manifest = json.loads((WEB / "vendor/manifest.json").read_text())
    wanted = json.loads((WEB / "package.json").read_text())["devDependencies"]
    there = {path.name for path in (WEB / "vendor").iterdir()} - {"manifest.json"}
    listed = {file["file"]: file["sha256"] for package in manifest for file in package["files"]}
    assert listed.keys() == there
    for name, sha256 in listed.items():
        assert hashlib.sha256((WEB / "vendor" / name).read_bytes()).hexdigest() == sha256, name
    for package in manifest:
        assert wanted[package["package"]] == package["version"]
        assert f"{package['package']}.LICENSE.txt" in listed


def test_what_comes_from_the_api_is_never_markup() -> None:
    forbidden = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|dangerouslySetInnerHTML|document\.write|srcdoc"
        r"|\beval\(|new Function|DOMParser|createContextualFragment"
    )
    found = [(s.name, forbidden.findall(s.read_text())) for s in sources()]
    assert [one for one in found if one[1]] == []
