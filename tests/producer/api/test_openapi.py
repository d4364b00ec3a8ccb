"""The API does what its OpenAPI document says: schemathesis generates requests, valid and invalid ones, and checks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import requests

from producer.api.app import create_routes
from producer.api.settings import ApiSettings
from tests.support.api import KEY, running_api

if TYPE_CHECKING:
    from producer.local.stack import Stack

ROOT = Path(__file__).parents[3]
# A document cannot say everything: that a text must be a URL, that bytes must be an image, that one of two fields is
# needed. So a valid request may be answered with 400.
_NOT_CHECKED = "positive_data_acceptance"
# The other paths of the Hugging Face API have the same function as `/models/{model_id}`.
_SAME = "hf-inference|pipeline"


def test_no_generated_request_is_answered_otherwise_than_documented(
    stack: Stack, worker_log: Path, tmp_path: Path
) -> None:
    """Requests at the limits of each field, beyond them, without keys, and with an unknown method."""
    (tmp_path / "schemathesis.toml").write_text('[phases.coverage]\nunexpected-methods = ["PATCH"]\n')
    options = ["--phases=coverage", "--seed=1", f"--exclude-path-regex={_SAME}", f"--exclude-checks={_NOT_CHECKED}"]
    command = [str(Path(sys.executable).parent / "schemathesis"), "run", *options]
    with running_api(REDIS_URL=stack.redis_url, MONGODB_URI=stack.mongodb_uri, api_requests_per_s=1e6) as api:
        command += [f"--header=Authorization: Bearer {KEY}", f"{api.url}/openapi.json"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout.partition("= FAILURES =")[2][:6000] or done.stdout


def test_the_document_has_every_route_and_the_shape_of_its_errors(stack: Stack) -> None:
    with running_api(REDIS_URL=stack.redis_url, MONGODB_URI=stack.mongodb_uri) as api:
        document = requests.get(f"{api.url}/openapi.json", timeout=20).json()

    def error_of(path: str, method: str) -> str:
        content = document["paths"][path][method]["responses"]["4XX"]["content"]
        return str(content["application/json"]["schema"]["$ref"].rpartition("/")[2])

    assert error_of("/v1/embeddings", "post") == "OpenAIError"
    assert error_of("/models/{model_id}", "post") == "HuggingFaceError"
    assert error_of("/embed", "post") == "TeiError"
    assert {"/v1/models", "/v1/images", "/v1/images/{image_id}", "/v1/search", "/v1/duplicates"} <= set(
        document["paths"]
    )
    assert "security" not in document["paths"]["/healthz"]["get"]
    assert "security" in document["paths"]["/v1/search"]["get"]


def test_the_page_names_every_route_and_every_code() -> None:
    page = (ROOT / "docs" / "api.md").read_text()
    app = create_routes(ApiSettings())
    app.state.services.close()
    paths = app.openapi()["paths"]
    routes = {path.replace("{image_id}", "{id}").replace("{model_id}", "{model}") for path in paths}
    assert not {route for route in routes if route not in page}
    code = "".join(file.read_text() for file in (ROOT / "producer" / "api").rglob("*.py"))
    codes = set(re.findall(r'(?:ApiError\(\d+, |, \d{3}, |code = |\d+: )"([a-z_]{4,})"', code))
    assert {"model_not_found", "overloaded", "unknown_path", "too_large"} <= codes
    internal = {"internal_error", "changed", "batch", "empty", "validation", "authentication_error", "rate_limit_error"}
    internal |= {"permission_error", "not_found_error", "unhealthy", "backend"}
    assert not {one for one in codes - internal if f"`{one}`" not in page}


def test_the_api_imports_no_model() -> None:
    """A host without a GPU, and an image without torch, can run it."""
    script = (
        "import sys; from producer.api.app import create_routes; from producer.api.settings import ApiSettings; "
        "create_routes(ApiSettings()).openapi(); import producer.api.server; "
        "print(sorted({'torch', 'open_clip', 'celery', 'motor', 'PIL'} & set(sys.modules)))"
    )
    env = {name: value for name, value in os.environ.items() if not name.startswith("CLIPQUEUE")}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
