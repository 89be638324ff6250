"""Makes clients of an OpenAPI document: in Python, and in TypeScript compiled to JavaScript."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from infra.local.maven import fetched
from infra.local.paths import PROJECT
from infra.sdk.calls import Call, in_typescript

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


def python_client(document: Mapping[str, Any]) -> tuple[str, ...]:
    """Generate a Python client by openapi-python-client; return the command of its driver.

    Raises:
        GeneratedWrongError: it does not understand all of the document.
    """
    package = FOLDER / "python/generated"
    package.parent.mkdir(parents=True, exist_ok=True)
    options = ("--meta", "none", "--overwrite", "--fail-on-warning", "--output-path", package)
    described = _written(document, "python.json")
    _run(FOLDER / "bin/openapi-python-client", "generate", "--path", described, *options)
    driver = shutil.copy(_HERE / "driver.py", package.parent)
    return (str(PYTHON), str(driver))


def without_files(document: Mapping[str, Any]) -> dict[str, Any]:
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


def typescript_client(document: Mapping[str, Any], calls: Sequence[Call | None]) -> tuple[str, ...]:
    """Generate a client by openapi-generator's typescript-fetch, and compile calls of it.

    Returns:
        The command of its driver, which makes a call if given its place in `calls`.

    Raises:
        NoJarsError: Java or Maven is missing.
        GeneratedWrongError: the client or a call of it does not compile.
    """
    version = re.findall(r"<version>(.+?)</version>", _POM.read_text())[-1]
    (jar,) = fetched(_POM, "openapi-generator", version).glob("*.jar")
    folder = FOLDER / "typescript"
    shutil.rmtree(folder, ignore_errors=True)
    described = _written(document, "typescript.json")
    argv = ("generate", "-g", "typescript-fetch", "-i", described, "-o", folder / "generated")
    properties = "--additional-properties=importFileExtension=.js"
    _run("java", "-jar", jar, *argv, properties)
    shutil.copy(_HERE / "driver.ts", folder)
    apis = {path.stem: path.read_text() for path in (folder / "generated/apis").glob("*Api.ts")}
    (folder / "calls.ts").write_text(_calls(calls, apis))
    (folder / "package.json").write_text('{"type": "module"}')
    _run(_TSC, *_STRICT, "--outDir", folder / "compiled", folder / "driver.ts")
    shutil.copy(folder / "package.json", folder / "compiled")
    return ("node", str(folder / "compiled/driver.js"))


def _calls(calls: Sequence[Call | None], apis: Mapping[str, str]) -> str:
    """Return a module with a function for each call, in their order."""
    made = ("undefined" if one is None else f"() => {in_typescript(one, apis)}" for one in calls)
    listed = "".join(f"  {one},\n" for one in made)
    return (
        f"import {{ Configuration, {', '.join(sorted(apis))} }} from './generated/index.js';\n"
        f"export const callsOf = (config: Configuration) => [\n{listed}];\n"
    )


def _written(document: Mapping[str, Any], name: str) -> Path:
    path = FOLDER / name
    path.write_text(json.dumps(document))
    return path


def _run(*argv: str | Path) -> None:
    # openapi-python-client formats its code with the ruff on PATH.
    env = {**os.environ, "PATH": f"{FOLDER / 'bin'}:{os.environ['PATH']}"}
    ended = subprocess.run(argv, capture_output=True, text=True, cwd=FOLDER, env=env, check=False)
    if ended.returncode:
        said = (ended.stdout + ended.stderr).strip()
        raise GeneratedWrongError(f"{' '.join(map(str, argv[:4]))} failed:\n{said[-4000:]}")
