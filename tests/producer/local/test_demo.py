"""`clipqueue demo`: samples and URLs."""

from __future__ import annotations

import io
import re
import signal
from typing import TYPE_CHECKING

import pytest
import requests
from rich.console import Console

from producer.local.demo import QUERIES, _wait_for_results
from producer.local.stack import StackError
from tests.producer.local.nasty import NASTY_SHELL
from tests.producer.local.up import FAKE_ENV, WITHOUT_MODEL, is_open, run_up
from tests.support.commands import COMMAND, complete, invoke, start

if TYPE_CHECKING:
    from producer.local.stack import Stack
    from tests.support.servers import ImageServer


def test_a_demo_embeds_and_finds_all_samples_beside_another_stack() -> None:
    """No setting of the shell stops it, and the model is the small one that ships with the project."""
    with run_up("--no-worker"):
        done = complete([*COMMAND, "demo"], {**WITHOUT_MODEL, **NASTY_SHELL})
    assert done.returncode == 0, done.stderr
    assert "100 of 100 done" in done.stdout
    assert "clipqueue demo --open" in done.stdout
    assert re.search(r"\w\.png +done +PNG +64x64 +\d+ +\S+ +0\.\d{3}", done.stdout), done.stdout
    assert re.search(r"\w\.jpg +done +JPEG +\d+x\d+ +\d+ +\S+ +[01]\.\d{3}", done.stdout), done.stdout
    for query, name in QUERIES.items():
        assert re.search(rf"^ ?{query} .*\b{name} 0\.\d\d", done.stdout, re.MULTILINE), done.stdout


def test_a_demo_embeds_each_url_once_serves_the_page_and_exits_with_1_if_one_fails(images: ImageServer) -> None:
    """The shell's settings have no effect on the API either, and rich does not interpret `[bold]` in a URL."""
    url = images.add("/photo.jpg", b"not a photo")
    demo = start(
        [*COMMAND, "demo", "--open", url, url, images.url + "/[bold].jpg?sig=secret"], {**FAKE_ENV, **NASTY_SHELL}
    )
    assert demo.stdout is not None
    lines: list[str] = []
    while not (page := re.search(r"Search page: (\S+)", "".join(lines[-1:]))):
        lines.append(demo.stdout.readline())
        assert lines[-1], demo.communicate()
    assert requests.get(page[1] + "/v1/overview", timeout=30).json()["images"]["failed"] == 2
    demo.send_signal(signal.SIGINT)
    demo.communicate(timeout=120)
    shown = "".join(lines)
    assert demo.returncode == 1
    assert "0 of 2 done" in shown
    assert "[bold].jpg" in shown
    assert "unsupported_format" in shown
    assert "http_404" in shown
    assert "secret" not in shown
    assert not is_open(int(page[1].rpartition(":")[2]))


@pytest.mark.usefixtures("own_collection")
def test_a_demo_ends_with_the_reason_when_nothing_moves(own: Stack) -> None:
    """No worker runs here; a log stands for that of one which embeds nothing."""
    own.log("worker").write_text("the first line\n" + "10:00:00 ERROR worker.broker the reason\n" * 15)
    console = Console(file=io.StringIO())
    with pytest.raises(StackError, match=r"only 0 of 100 images have a result after 0 s.*log ends with:") as stopped:
        _wait_for_results(own, 100, console, idle_s=0)
    assert str(stopped.value).count("\n  10:00:00 ERROR worker.broker the reason") == 15
    assert "the first line" not in str(stopped.value)
    with pytest.raises(StackError, match="only 0 of 100"):
        _wait_for_results(own, 100, console, total_s=0)


def test_a_demo_rejects_an_invalid_url_before_it_starts_anything() -> None:
    done = invoke("demo", "cat.jpg")
    assert (done.returncode, done.stdout) == (1, "")
    assert "must start with http:// or https://" in done.stderr
