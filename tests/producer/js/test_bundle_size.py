"""What a bundle for the edge grows by, minified and gzipped. docs/javascript.md names the limits."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from tests.support.bundles import bundle

PAGE = Path(__file__).parents[3] / "docs" / "javascript.md"
# Without a platform, a package of Node would end the bundling.
SMALL = ("--format=esm", "--platform=neutral", "--minify", "--external:cloudflare:*")
PROGRAMS = {
    "over REST": 'import { EmbeddingClient } from "clipqueue"; export const client = EmbeddingClient.fromEnv();',
    "over TCP": """
        import { EmbeddingClient } from "clipqueue";
        import { redisOverTcp } from "clipqueue/workers";
        export const client = new EmbeddingClient(redisOverTcp("redis://127.0.0.1"));
    """,
    "of the API": 'import { ClipqueueApi } from "clipqueue"; export const api = ClipqueueApi.fromEnv();',
}
KB = {"over REST": 6.7, "over TCP": 7.7, "of the API": 7}


@pytest.mark.parametrize("client", PROGRAMS)
def test_a_client_is_small(client: str, js_app: Path) -> None:
    program = js_app / f"size-{client.replace(' ', '-')}.js"
    program.write_text(PROGRAMS[client])
    content = bundle(program, program.with_suffix(".min.js"), SMALL).read_bytes()
    assert len(gzip.compress(content, 9, mtime=0)) < KB[client] * 1000


def test_the_page_names_the_limits() -> None:
    rest, tcp, api = KB.values()
    limits = (
        f"at most {rest} kB with the client over REST, by {tcp} kB with the one over TCP, and by {api} kB with that"
    )
    assert limits in " ".join(PAGE.read_text().split())
