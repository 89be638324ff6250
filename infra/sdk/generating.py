"""Makes clients of an OpenAPI document: in Python, and in TypeScript compiled to JavaScript."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

from infra.local.maven import fetched
from infra.local.paths import PROJECT

FOLDER: Final = PROJECT / "build/sdk"
"""Has the environment of openapi-python-client, by `make`."""
PYTHON: Final = FOLDER / "bin/python"

_HERE: Final = Path(__file__).parent
_POM: Final = _HERE / "pom.xml"
_TSC: Final = PROJECT / "web/node_modules/.bin/tsc"
_JSON: Final = "application/json"
_STRICT: Final = ("--strict", "--target", "es2022", "--module", "nodenext")


class GeneratedWrongError(RuntimeError):
    """A generator, or the compiler of what it made, failed or warned."""


def python_client(document: Path) -> Path:
    """Generate a Python client by openapi-python-client; return the folder of its package.

    Raises:
        GeneratedWrongError: it does not understand all of the document.
    """
    package = FOLDER / "python/generated"
    package.parent.mkdir(exist_ok=True)
    options = ("--meta", "none", "--overwrite", "--fail-on-warning", "--output-path", package)
    known = document.with_name("json_bodies.json")
    known.write_bytes(json.dumps(without_files(json.loads(document.read_bytes()))).encode())
    _run(FOLDER / "bin/openapi-python-client", "generate", "--path", known, *options)
    shutil.copy(_HERE / "smoke.py", package.parent)
    return package.parent


def without_files(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document without operations whose body is not JSON.

    openapi-python-client 0.29 warns of lines of JSON and of CSV.

    >>> post = {"requestBody": {"content": {"text/csv": {}}}}
    >>> without_files({"paths": {"/": {"get": {}, "post": post}}})
    {'paths': {'/': {'get': {}}}}
    """
    paths = {
        path: {method: one for method, one in of_path.items() if _is_known(one)}
        for path, of_path in document["paths"].items()
    }
    return {**document, "paths": paths}


def _is_known(operation: dict[str, Any]) -> bool:
    return "requestBody" not in operation or _JSON in operation["requestBody"]["content"]


def typescript_client(document: Path) -> Path:
    """Generate a client by openapi-generator's typescript-fetch; return the folder of its code.

    Raises:
        NoJarsError: Java or Maven is missing.
        GeneratedWrongError: the client does not compile.
    """
    version = re.findall(r"<version>(.+?)</version>", _POM.read_text())[-1]
    (jar,) = fetched(_POM, "openapi-generator", version).glob("*.jar")
    folder = FOLDER / "typescript"
    shutil.rmtree(folder, ignore_errors=True)
    properties = "--additional-properties=importFileExtension=.js"
    argv = ("generate", "-g", "typescript-fetch", "-i", document, "-o", folder / "generated")
    _run("java", "-jar", jar, *argv, properties)
    shutil.copy(_HERE / "smoke.ts", folder)
    (folder / "package.json").write_text('{"type": "module"}')
    _run(_TSC, *_STRICT, "--outDir", folder / "compiled", folder / "smoke.ts")
    shutil.copy(folder / "package.json", folder / "compiled")
    return folder / "compiled"


def _run(*argv: str | Path) -> None:
    # openapi-python-client formats its code with the ruff on PATH.
    env = {**os.environ, "PATH": f"{FOLDER / 'bin'}:{os.environ['PATH']}"}
    ended = subprocess.run(argv, capture_output=True, text=True, cwd=FOLDER, env=env, check=False)
    if ended.returncode:
        said = (ended.stdout + ended.stderr).strip()
        raise GeneratedWrongError(f"{' '.join(map(str, argv[:4]))} failed:\n{said[-4000:]}")
