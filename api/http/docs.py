"""The page at /docs: Swagger UI, served from this server.

FastAPI's own page loads its script from a public host: it needs internet access, and runs any code
that this host sends. The package fastapi-swagger contains the same files; only they are used.
"""

from typing import Final

from fastapi import FastAPI, Response
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.staticfiles import StaticFiles

from api.http.headers import sources_of_inline_scripts

_ASSETS: Final = "/docs/assets"


def install_docs(app: FastAPI) -> None:
    """Add /docs to `app`, which must be created without documentation pages of its own."""
    page = get_swagger_ui_html(
        openapi_url=app.openapi_url or "",
        title=app.title,
        swagger_js_url=f"{_ASSETS}/swagger-ui-bundle.js",
        swagger_css_url=f"{_ASSETS}/swagger-ui.css",
        swagger_favicon_url=f"{_ASSETS}/favicon-32x32.png",
    )
    page.headers["content-security-policy"] = _policy(bytes(page.body))

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return page

    app.mount(_ASSETS, StaticFiles(packages=[("fastapi_swagger", "resources")]))


def _policy(page: bytes) -> str:
    """Return the page's policy: only its own script and files, and requests to this server."""
    return (
        f"default-src 'none'; script-src 'self' {sources_of_inline_scripts(page)}; "
        # Swagger UI sets inline styles, and has icons in its style sheet.
        "style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
