"""The types of `ClipqueueApi`: what a strict compiler accepts and refuses, and that they are those of the API."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from producer.api.app import create_routes
from producer.api.settings import ApiSettings
from tests.support.node_packages import node_modules

TYPES = Path(__file__).parent / "api_types.ts"
# The name of the API's schema, and the type that has its fields.
SAME_FIELDS = {
    "SearchIn": "SearchRequest",
    "WeightsIn": "SearchWeights",
    "PageOut": "SearchPage",
    "HitOut": "Hit",
    "ImageState": "ImageState | UploadedImage",
    "ImageError": "ImageFailure",
    "Enqueued": "Pick<EnqueuedImage, 'id' | 'type' | 'task_id' | 'status' | 'status_url'>",
    "LiveModel": "LiveModel",
}
WORKER = """
import { ClipqueueApi } from "clipqueue";
interface Env { CLIPQUEUE_URL: string; CLIPQUEUE_KEY: string; API: Fetcher; CACHE: KVNamespace }
export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const api = ClipqueueApi.fromEnv(env, { fetch: (url, init) => env.API.fetch(url, init) });
    if (request.method === "PUT") return Response.json(await api.upload("a", await request.blob()));
    return Response.json(await api.search({ text: new URL(request.url).search }, { signal: request.signal }));
  },
} satisfies ExportedHandler<Env>;
"""
_SAME = """
type Fields<T> = T extends unknown ? keyof T : never;
type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : false) : false;
"""


def compile_types(folder: Path, file: Path, types: str = "node") -> str:
    """Compile a file as a strict program does, with the types of a platform; return the compiler's errors."""
    options = {
        "target": "ES2022",
        "lib": ["ES2022"],
        "types": [types],
        "module": "NodeNext",
        "noEmit": True,
        "strict": True,
        "exactOptionalPropertyTypes": True,
        "noUncheckedIndexedAccess": True,
        "noPropertyAccessFromIndexSignature": True,
    }
    config = folder / "tsconfig.json"
    config.write_text(json.dumps({"compilerOptions": options, "files": [str(file)]}))
    (folder / "package.json").write_text('{"type": "module"}')
    tsc = node_modules() / ".bin" / "tsc"
    done = subprocess.run(
        [str(tsc), "-p", str(config)], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    return done.stdout + done.stderr


@pytest.fixture
def project(js_app: Path, tmp_path: Path) -> Path:
    (tmp_path / "node_modules").symlink_to(js_app / "node_modules")
    return tmp_path


def test_a_strict_program_is_accepted_and_mistakes_are_not(project: Path) -> None:
    """Lines after `@ts-expect-error` must be errors. Only Node's types are known, as in a backend."""
    file = project / "program.ts"
    file.write_text(TYPES.read_text())
    assert not compile_types(project, file)


def test_a_worker_needs_no_other_types_than_its_own(project: Path) -> None:
    file = project / "worker.ts"
    file.write_text(WORKER)
    assert not compile_types(project, file, "@cloudflare/workers-types")


def test_the_types_have_the_fields_of_the_api(project: Path) -> None:
    app = create_routes(ApiSettings())
    app.state.services.close()
    schemas = app.openapi()["components"]["schemas"]
    checks = [_check(schemas[schema], name, number) for number, (schema, name) in enumerate(SAME_FIELDS.items())]
    names = "DoneImage EnqueuedImage Hit ImageFailure ImageState LiveModel SearchPage SearchRequest SearchWeights"
    imports = f'import type {{ {", ".join(names.split())}, UploadedImage }} from "clipqueue";'
    file = project / "fields.ts"
    file.write_text("\n".join([imports, _SAME, *checks]))
    assert not compile_types(project, file)

    file.write_text(file.read_text().replace('"min_score"', '"min_scores"'))
    assert "fields.ts" in compile_types(project, file), "the comparison sees a difference"


def _check(schema: dict[str, Any], name: str, number: int) -> str:
    fields = " | ".join(json.dumps(field) for field in schema["properties"])
    return f"export const same{number}: Same<Fields<{name}>, {fields}> = true;"
