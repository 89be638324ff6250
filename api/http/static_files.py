"""The web pages that the server has: its own at `/`, and Swagger UI at `/docs`.

The files of the folder `web` are served unchanged under `/page/`. All are read once, when the
application is created, and kept in memory with their compressed form. They need no key, as they are
the same for everyone; requests from the page need one as any other.

FastAPI's own page for `/docs` loads its script from a public host: it needs internet access, and
runs any code that this host sends. The package fastapi-swagger contains the same files; only they
are used.
"""

import base64
import gzip
import hashlib
import re
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import PurePosixPath
from typing import Final, NamedTuple

from fastapi import FastAPI, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from api.http.reply import Reply, conditional, etag, fields, joined, response, weights

_FILES: Final = ("icon.svg", "main.js", "style.css")
_FOLDERS: Final = ("api", "parts", "shell", "state", "vendor", "views")
_TYPES: Final = {
    ".css": b"text/css; charset=utf-8",
    ".html": b"text/html; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".mjs": b"text/javascript; charset=utf-8",
    ".svg": b"image/svg+xml",
    ".txt": b"text/plain; charset=utf-8",
}
"""Content types by file extension; files with other extensions are for developers."""
_ASSETS: Final = "/docs/assets"
_GZIP: Final = (b"content-encoding", b"gzip")
_INDEX: Final = "index.html"
_INLINE_SCRIPT: Final = re.compile(rb"<script(?![^>]*\bsrc=)[^>]*>(.*?)</script>", re.DOTALL)


class StaticFile(NamedTuple):
    """A file, plain and compressed."""

    plain: Reply
    compressed: Reply


def install_page(app: FastAPI) -> None:
    """Make `app` serve the page."""
    index, kept = _page()

    @app.get("/", include_in_schema=False)
    async def page(request: Request) -> Response:
        return _answer(index, request)

    @app.get("/page/{name:path}", include_in_schema=False)
    async def file(request: Request, name: str) -> Response:
        found = kept.get(name)
        if found is None:
            raise HTTPException(404)
        return _answer(found, request)


def install_docs(app: FastAPI) -> None:
    """Add /docs to `app`, which must be created without documentation pages of its own."""
    page = get_swagger_ui_html(
        openapi_url=app.openapi_url or "",
        title=app.title,
        swagger_js_url=f"{_ASSETS}/swagger-ui-bundle.js",
        swagger_css_url=f"{_ASSETS}/swagger-ui.css",
        swagger_favicon_url=f"{_ASSETS}/favicon-32x32.png",
    )
    page.headers["content-security-policy"] = _policy(
        # Swagger UI sets inline styles, and has icons in its style sheet.
        bytes(page.body),
        styles="'self' 'unsafe-inline'",
        images="'self' data:",
    )

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return page

    app.mount(_ASSETS, StaticFiles(packages=[("fastapi_swagger", "resources")]))


@cache
def _page() -> tuple[StaticFile, dict[str, StaticFile]]:
    """Return the page, and its files by name."""
    root = files("web")
    kept = {name: _kept(root.joinpath(name), policy=None) for name in _names(root)}
    return _kept(root.joinpath(_INDEX), _policy(root.joinpath(_INDEX).read_bytes())), kept


def _names(root: Traversable) -> list[str]:
    """Return the names of the files of the page, relative to `root`."""
    inner = [
        f"{folder}/{file.name}" for folder in _FOLDERS for file in root.joinpath(folder).iterdir()
    ]
    return [*_FILES, *(name for name in inner if PurePosixPath(name).suffix in _TYPES)]


def _kept(file: Traversable, policy: str | None) -> StaticFile:
    body = file.read_bytes()
    squeezed = gzip.compress(body, compresslevel=9, mtime=0)
    headers = [
        (b"content-type", _TYPES[PurePosixPath(file.name).suffix]),
        # A browser revalidates its copy each time: a new release is visible at once.
        (b"cache-control", b"no-cache"),
        (b"vary", b"accept-encoding"),
    ]
    if policy is not None:
        headers.append((b"content-security-policy", policy.encode()))
    return StaticFile(
        Reply(200, fields([*headers, *_of_body(body)]), body),
        Reply(200, fields([*headers, *_of_body(squeezed), _GZIP]), squeezed),
    )


def _of_body(body: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"content-length", b"%d" % len(body)), (b"etag", etag(body))]


def _answer(kept: StaticFile, request: Request) -> Response:
    takes_gzip = weights(request.headers.get("accept-encoding", "")).get("gzip")
    form = kept.compressed if takes_gzip else kept.plain
    tags = joined(value.encode("latin-1") for value in request.headers.getlist("if-none-match"))
    return response(conditional(form, tags))


def _policy(page: bytes, *, styles: str = "'self'", images: str = "'self'") -> str:
    """Return the policy of a page: only its own scripts and files, and requests to this server."""
    return (
        f"default-src 'none'; script-src 'self' {_inline_scripts(page)}; "
        f"style-src {styles}; img-src {images}; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _inline_scripts(page: bytes) -> str:
    """Return the `script-src` sources that allow the inline scripts of a page."""
    digests = [hashlib.sha256(script).digest() for script in _INLINE_SCRIPT.findall(page)]
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
