"""An HTTP server on loopback that serves model repositories like the Hugging Face hub.

It answers `/{repository}/resolve/{revision}/{file}`, which the client library huggingface_hub requests, with the
headers `X-Repo-Commit` and `ETag`, or with `X-Error-Code` if the repository or the file does not exist.
"""

from __future__ import annotations

import hashlib
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, Self

from tests.support.servers import LoopbackServer

if TYPE_CHECKING:
    from pathlib import Path


class HubServer(LoopbackServer):
    """Serves files as model repositories.

    Attributes:
        files: The repositories, as `{"org/repo": {"file name": path}}`.
        commit: The only commit of every repository; after a change, clients check the files again.
        token: If set, the server answers 401 to requests without this bearer token.
        cut_at: If set, every body ends after this number of bytes, although Content-Length announces more.
    """

    def __init__(self, files: dict[str, dict[str, Path]]) -> None:
        self.files = files
        self.commit = "1" * 40
        self.token: str | None = None
        self.cut_at: int | None = None
        super().__init__(self._handler())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _find(self, path: str) -> tuple[Path | None, str]:
        repository, found, rest = path.lstrip("/").partition("/resolve/")
        if not found or repository not in self.files:
            return None, "RepoNotFound"
        return self.files[repository].get(rest.partition("/")[2]), "EntryNotFound"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self) -> None:
                self._answer(with_body=False)

            def do_GET(self) -> None:
                self._answer(with_body=True)

            def _answer(self, *, with_body: bool) -> None:
                if owner.token and self.headers["Authorization"] != f"Bearer {owner.token}":
                    self._refuse(401, "Invalid username or password.")
                    return
                path, missing = owner._find(self.path.partition("?")[0])
                if path is None:
                    self._refuse(404, missing)
                    return
                content = path.read_bytes()
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.send_header("X-Repo-Commit", owner.commit)
                self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
                self.end_headers()
                if with_body:
                    self.wfile.write(content[: owner.cut_at])
                    self.close_connection = owner.cut_at is not None

            def _refuse(self, status: int, code: str) -> None:
                self.send_response(status)
                self.send_header("X-Error-Code", code)
                self.send_header("X-Error-Message", code)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        return Handler
