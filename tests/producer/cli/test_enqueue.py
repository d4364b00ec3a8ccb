"""`clipqueue enqueue`: ids, files and invalid rows."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import redis

from tests.support.commands import invoke

if TYPE_CHECKING:
    from pathlib import Path

    from producer.local.stack import Stack


OID = "65f0c0ffee65f0c0ffee65f0"


@pytest.fixture
def env(stack: Stack) -> dict[str, str]:
    # The shared worker consumes database 0.
    return {"REDIS_URL": stack.redis_url.removesuffix("0") + "1", "MONGODB_URI": stack.mongodb_uri}


def test_without_an_id_the_id_is_made_from_the_url(env: dict[str, str]) -> None:
    first = invoke("enqueue", "http://host/a.jpg", "http://host/b.jpg", **env)
    again = invoke("enqueue", "http://host/b.jpg", **env)
    assert (first.returncode, first.stderr) == (0, "enqueued 2, invalid rows 0\n")
    assert first.stdout.splitlines()[1] == again.stdout.strip()
    assert len(set(first.stdout.split())) == 2


def test_an_id_may_be_a_string_or_an_object_id(env: dict[str, str]) -> None:
    assert invoke("enqueue", "http://host/a.jpg", "--id", "photo-1", **env).stdout == "photo-1\n"
    assert invoke("enqueue", "http://host/a.jpg", "--id", OID, "--object-id", **env).returncode == 0
    assert "24 hex" in invoke("enqueue", "http://host/a.jpg", "--id", "photo-1", "--object-id", **env).stderr


def test_an_empty_id_is_refused(env: dict[str, str]) -> None:
    """It may come from a shell variable that is not set, and must not mean another document."""
    done = invoke("enqueue", "http://host/a.jpg", "--id", "", **env)
    assert (done.returncode, done.stdout) == (1, "")
    assert "image_id is empty" in done.stderr


def test_ids_are_printed_only_after_their_jobs_are_enqueued() -> None:
    done = invoke("enqueue", "http://host/a.jpg", REDIS_URL="redis://127.0.0.1:1/0")
    assert (done.returncode, done.stdout) == (1, "")
    assert "(enqueued so far: 0, invalid rows: 0)" in done.stderr


def test_a_closed_pipe_loses_no_job(stack: Stack) -> None:
    """`clipqueue enqueue --from FILE | head -1` enqueues the whole file."""
    redis_url = stack.redis_url.removesuffix("0") + "5"
    rows = "".join(f"http://host/{n}.jpg\n" for n in range(20_000))
    command = f"{sys.executable} -m producer enqueue --from - | head -1"
    env = {**os.environ, "REDIS_URL": redis_url}
    done = subprocess.run(["/bin/sh", "-c", command], input=rows, env=env, capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == "enqueued 20000, invalid rows 0\n"
    with redis.Redis.from_url(redis_url) as client:
        assert client.llen("images") == 20_000
        client.flushdb()


ROWS = """\
\ufeffid,url
photo-1,http://host/1.jpg
# a comment

http://host/2.jpg?a=1,2
"photo,3","http://host/3.jpg"
photo-4,ftp://host/4.jpg
photo-5
photo-6,http://host/6.jpg\udce9
"""


def test_invalid_rows_of_a_file_or_standard_input_are_reported_and_skipped(env: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "urls.csv"
    path.write_bytes(ROWS.encode("utf-8", "surrogateescape"))  # with a byte that is not UTF-8 in the last row
    for done in (invoke("enqueue", "--from", str(path), **env), invoke("enqueue", "--from", "-", stdin=ROWS, **env)):
        assert done.returncode == 1
        assert [line for line in done.stdout.splitlines() if line.startswith("photo")] == ["photo-1", "photo,3"]
        assert "line 7: the URL's scheme is 'ftp'" in done.stderr
        assert "line 8: the URL has no scheme" in done.stderr
        assert "line 9: the URL is not valid Unicode" in done.stderr
        assert done.stderr.endswith("enqueued 3, invalid rows 3\n")
