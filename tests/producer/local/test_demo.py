"""`clipqueue demo`: samples and URLs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from producer.local.demo import QUERIES
from tests.producer.local.up import ENV, WITHOUT_MODEL, run_up
from tests.support.commands import COMMAND, complete, invoke

if TYPE_CHECKING:
    from tests.support.servers import ImageServer


def test_a_demo_embeds_and_finds_all_samples_beside_another_stack() -> None:
    """Without settings, the model is the small one that ships with the project."""
    with run_up("--no-worker"):
        done = complete([*COMMAND, "demo"], WITHOUT_MODEL)
    assert done.returncode == 0, done.stderr
    assert "100 of 100 done" in done.stdout
    assert re.search(r"\w\.png +done +PNG +64x64 +\d+ +\S+ +0\.\d{3}", done.stdout), done.stdout
    assert re.search(r"\w\.jpg +done +JPEG +\d+x\d+ +\d+ +\S+ +[01]\.\d{3}", done.stdout), done.stdout
    for query, name in QUERIES.items():
        assert re.search(rf"^ ?{query} .*\b{name} 0\.\d\d", done.stdout, re.MULTILINE), done.stdout


def test_a_demo_embeds_each_url_once_and_exits_with_1_if_one_fails(images: ImageServer) -> None:
    """The shell's settings for other workers have no effect, and rich does not interpret `[bold]` in a URL."""
    url = images.add("/photo.jpg", b"not a photo")
    env = {**ENV, "CLIPQUEUE_COLLECTION": "elsewhere", "CLIPQUEUE_FETCH_PORTS": "443"}
    done = complete([*COMMAND, "demo", url, url, images.url + "/[bold].jpg?sig=secret"], env)
    assert done.returncode == 1
    assert "0 of 2 done" in done.stdout, done.stderr
    assert "[bold].jpg" in done.stdout
    assert "unsupported_format" in done.stdout
    assert "http_404" in done.stdout
    assert "secret" not in done.stdout


def test_a_demo_rejects_an_invalid_url_before_it_starts_anything() -> None:
    done = invoke("demo", "cat.jpg")
    assert (done.returncode, done.stdout) == (1, "")
    assert "must start with http:// or https://" in done.stderr
