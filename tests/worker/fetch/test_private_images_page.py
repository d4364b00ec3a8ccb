"""The code of docs/private-images.md signs URLs that a store accepts from the worker."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from producer.contract.urls import check_url
from tests.support.node_packages import node_modules
from tests.support.s3 import ObjectStore
from worker import errors
from worker.fetch.target import parse_target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.worker.fetch.conftest import MakeFetcher
    from worker.fetch.fetcher import HttpFetcher

PAGE = (Path(__file__).parents[3] / "docs" / "private-images.md").read_text()
[JAVASCRIPT] = re.findall(r"```js\n(.*?)```", PAGE, re.DOTALL)
[PYTHON] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
KEYS = ["a.jpg", "2026/a b+c (1).jpg", "ünï/~[x]!*'&=%20?#;,$@:|{}^`.jpg", "a//b/./c.jpg"]
TOKEN = "FwoGZXIvYXdzE" + "aB3/" * 300


@pytest.fixture
def store() -> Iterator[ObjectStore]:
    with closing(ObjectStore()) as store:
        store.objects = {f"/photos/{key}": f"image {key}".encode() for key in KEYS}
        yield store


class RecordingClient:
    """What the page calls `client`: keeps the URLs."""

    def __init__(self) -> None:
        self.urls: list[str] = []

    def enqueue(self, _: object, url: str) -> None:
        self.urls.append(url)


def signed_by_python(store: ObjectStore, monkeypatch: pytest.MonkeyPatch, code: str = PYTHON) -> list[str]:
    boto3 = pytest.importorskip("boto3")
    for name, value in store.environment.items():
        monkeypatch.setenv(name, value)
    boto3.setup_default_session()  # which otherwise keeps the keys of the first test
    client = RecordingClient()
    program = compile(code, "docs/private-images.md", "exec")
    for key in KEYS:
        exec(program, {"client": client, "document": {"_id": key, "key": key}})  # noqa: S102
    return client.urls


def signed_by_javascript(store: ObjectStore, folder: Path) -> list[str]:
    (folder / "node_modules").symlink_to(node_modules())
    imports, _, rest = JAVASCRIPT.rpartition("\n\nconst s3")
    program = folder / "sign.mjs"
    program.write_text(
        f"{imports}\nconst urls = [];\nconst client = {{ enqueue: async (_, url) => urls.push(url) }};\n"
        f"for (const key of {json.dumps(KEYS)}) {{\nconst document = {{ _id: key, key }};\nconst s3{rest}}}\n"
        "console.log(JSON.stringify(urls));\n"
    )
    variables = {"PATH": os.environ["PATH"], **store.environment}
    done = subprocess.run(
        [str(shutil.which("node")), program], env=variables, capture_output=True, text=True, timeout=60, check=True
    )
    urls: list[str] = json.loads(done.stdout)
    return urls


def check_all(urls: list[str], fetcher: HttpFetcher, longest: int) -> None:
    assert [fetcher.fetch(url) for url in urls] == [f"image {key}".encode() for key in KEYS]
    for url in urls:
        check_url(url)
        assert len(url) < longest
        with pytest.raises(errors.HttpRefused, match="403") as caught:
            fetcher.fetch(url.replace("X-Amz-Expires=86400", "X-Amz-Expires=86401"))
        assert "X-Amz" not in str(caught.value)


@pytest.mark.parametrize(("token", "longest"), [("", 600), (TOKEN, 2500)])
def test_the_page_signs_urls_in_python(
    token: str, longest: int, store: ObjectStore, fetcher: HttpFetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.token = token
    check_all(signed_by_python(store, monkeypatch), fetcher, longest)


def test_the_page_signs_urls_in_javascript(store: ObjectStore, fetcher: HttpFetcher, tmp_path: Path) -> None:
    store.token = TOKEN
    check_all(signed_by_javascript(store, tmp_path), fetcher, 2500)


def test_an_expired_url_fails_at_once(
    store: ObjectStore, fetcher: HttpFetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, *_ = signed_by_python(store, monkeypatch, PYTHON.replace("86_400", "0"))
    with pytest.raises(errors.HttpRefused, match="403"):
        fetcher.fetch(url)


def test_the_lines_of_the_page_are_read(monkeypatch: pytest.MonkeyPatch, make_fetcher: MakeFetcher) -> None:
    lines = re.findall(r'CLIPQUEUE_FETCH_HEADERS="(.*)"', PAGE) + re.findall(
        r"`(images\.example\.com:8443: .*?)`", PAGE
    )
    assert len(lines) == 2
    fetcher: Any = make_fetcher(headers="\\n".join(lines))
    headers_of = fetcher._host_headers.of
    assert headers_of(parse_target("https://cdn.example.com/a.jpg")) == {"Authorization": "Bearer 3b9f..."}
    assert headers_of(parse_target("https://images.example.com:8443/a.jpg")) == {"X-Api-Key": "..."}
