"""The search page at `/`, and the documentation of the API at `/docs`. Everything comes from this server."""

from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.staticfiles import StaticFiles

router = APIRouter(include_in_schema=False)

PAGE = Path(__file__).parents[1] / "page"
_STRICT = "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
_OWN = "script-src 'self'; style-src 'self'; connect-src 'self'"
# Images come from anywhere: a hit is shown from its own URL. With trusted types the page's code cannot write HTML.
_PAGE_POLICY = (
    f"default-src 'none'; {_OWN}; img-src 'self' https: http: blob:; {_STRICT}; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
# Swagger UI styles its elements in the page.
_DOCS_POLICY = f"default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; {_STRICT}"
_DOCS = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>clipqueue API</title>
<link rel="stylesheet" href="/docs/assets/swagger-ui.css">
<div id="swagger-ui"></div>
<script src="/docs/assets/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</html>
"""
_START = 'SwaggerUIBundle({url: "/openapi.json", dom_id: "#swagger-ui", validatorUrl: null});\n'


class _Assets(StaticFiles):
    """Static files that a browser asks for again each time, so that a new version shows at once."""

    def file_response(self, *args: object, **options: object) -> Response:
        response = super().file_response(*args, **options)  # type: ignore[arg-type]
        response.headers["cache-control"] = "no-cache"
        return response


def page_files() -> StaticFiles:
    """Return the files of the search page."""
    return _Assets(directory=PAGE, check_dir=False)


def docs_files() -> StaticFiles:
    """Return the files of Swagger UI."""
    return _Assets(directory=str(files("fastapi_swagger") / "resources"))


@router.api_route("/", methods=["GET", "HEAD"])
async def page() -> Response:
    """Return the search page."""
    headers = {"content-security-policy": _PAGE_POLICY, "cache-control": "no-cache"}
    return FileResponse(PAGE / "index.html", media_type="text/html", headers=headers)


@router.api_route("/docs", methods=["GET", "HEAD"])
async def docs() -> Response:
    """Return the documentation."""
    return HTMLResponse(_DOCS, headers={"content-security-policy": _DOCS_POLICY})


@router.api_route("/docs/start.js", methods=["GET", "HEAD"])
async def start_docs() -> Response:
    """Return what starts the documentation."""
    return Response(_START, media_type="text/javascript")
