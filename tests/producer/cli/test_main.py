"""The command line as its users meet it: output, messages, exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import redis
from bson import ObjectId

from tests.support.commands import run

if TYPE_CHECKING:
    from pathlib import Path

    from pymongo.collection import Collection

    from producer.local.stack import Stack

OID = "65f0c0ffee65f0c0ffee65f0"


@pytest.fixture
def env(stack: Stack) -> dict[str, str]:
    # Database 1: the worker of other tests listens on database 0.
    return {"REDIS_URL": stack.redis_url.removesuffix("0") + "1", "MONGODB_URI": stack.mongodb_uri}


@pytest.mark.parametrize("command", [[], ["enqueue"], ["status"], ["up"], ["demo"]])
def test_every_command_has_help(command: list[str]) -> None:
    done = run(*command, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: clipqueue")


def test_enqueue_prints_ids_that_depend_on_the_url_alone(env: dict[str, str]) -> None:
    first = run("enqueue", "http://host/a.jpg", "http://host/b.jpg", **env)
    again = run("enqueue", "http://host/b.jpg", **env)
    assert (first.returncode, first.stderr) == (0, "enqueued 2, refused 0\n")
    assert first.stdout.splitlines()[1] == again.stdout.strip()
    assert len(set(first.stdout.split())) == 2


def test_enqueue_takes_an_id_and_an_object_id(env: dict[str, str]) -> None:
    assert run("enqueue", "http://host/a.jpg", "--id", "photo-1", **env).stdout == "photo-1\n"
    assert run("enqueue", "http://host/a.jpg", "--id", OID, "--object-id", **env).returncode == 0
    assert "24 hex" in run("enqueue", "http://host/a.jpg", "--id", "photo-1", "--object-id", **env).stderr


def test_an_empty_id_is_no_id(env: dict[str, str]) -> None:
    """As of a shell variable that is not set: not silently another document."""
    done = run("enqueue", "http://host/a.jpg", "--id", "", **env)
    assert (done.returncode, done.stdout) == (1, "")
    assert "image_id is empty" in done.stderr


def test_only_what_was_enqueued_is_printed() -> None:
    done = run("enqueue", "http://host/a.jpg", REDIS_URL="redis://127.0.0.1:1/0")
    assert (done.returncode, done.stdout) == (1, "")
    assert "(enqueued before: 0, refused: 0)" in done.stderr


def test_a_reader_that_goes_away_loses_no_job(stack: Stack) -> None:
    """`clipqueue enqueue --from FILE | head -1` enqueues the whole file."""
    redis_url = stack.redis_url.removesuffix("0") + "5"
    rows = "".join(f"http://host/{n}.jpg\n" for n in range(20_000))
    command = f"{sys.executable} -m producer enqueue --from - | head -1"
    env = {**os.environ, "REDIS_URL": redis_url}
    done = subprocess.run(["/bin/sh", "-c", command], input=rows, env=env, capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == "enqueued 20000, refused 0\n"
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


def test_enqueue_from_a_file_or_standard_input_reports_bad_rows_and_takes_the_others(
    env: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "urls.csv"
    path.write_bytes(ROWS.encode("utf-8", "surrogateescape"))  # with a byte that is not UTF-8 in the last row
    for done in (run("enqueue", "--from", str(path), **env), run("enqueue", "--from", "-", stdin=ROWS, **env)):
        assert done.returncode == 1
        assert [line for line in done.stdout.splitlines() if line.startswith("photo")] == ["photo-1", "photo,3"]
        assert "line 7: the URL's scheme is 'ftp'" in done.stderr
        assert "line 8: the URL has no scheme" in done.stderr
        assert "line 9: the URL is not valid Unicode" in done.stderr
        assert done.stderr.endswith("enqueued 3, refused 3\n")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["enqueue"], "Give either URLs or --from FILE"),
        (["enqueue", "http://host/", "--from", "-"], "Give either URLs or --from FILE"),
        (["enqueue", "http://host/", "http://host/", "--id", "a"], "exactly one URL"),
        (["enqueue", "--from", "/no/such/file"], "/no/such/file"),
        (["status"], "ID..."),
        (["up", "--redis-port", "99999"], "99999"),
        (["no-such-command"], "no-such-command"),
    ],
)
def test_a_wrong_command_line_exits_with_2(arguments: list[str], complaint: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert complaint in done.stderr


def test_missing_settings_are_named() -> None:
    assert "REDIS_URL is not set" in run("enqueue", "http://host/").stderr
    assert "MONGODB_URI is not set" in run("status", "a").stderr


def test_a_server_that_is_away_is_a_message_and_no_traceback() -> None:
    done = run("enqueue", "http://host/", REDIS_URL="redis://:hunter2@127.0.0.1:1/0")
    assert done.returncode == 1
    assert done.stderr.startswith("clipqueue: Redis at 127.0.0.1:1")
    assert "hunter2" not in done.stderr
    unreadable = run("status", "a", MONGODB_URI="mongodb://user:hunter2@host:port/")
    assert (unreadable.returncode, "hunter2" in unreadable.stderr) == (1, False)
    assert "MONGODB_URI cannot be read" in unreadable.stderr
    misnamed = run("status", "a", MONGODB_URI="mongodb://127.0.0.1:1/", CLIPQUEUE_COLLECTION="a$b")
    assert misnamed.stderr == "clipqueue: CLIPQUEUE_COLLECTION=a$b is not a valid name for a collection\n"


def test_status_shows_each_state(env: dict[str, str], collection: Collection[dict[str, Any]], new_id: str) -> None:
    done_id = ObjectId()
    done_job = {"status": "done", "model": "m", "dim": 2, "finished_at": datetime(2026, 1, 2, tzinfo=UTC)}
    error = {"code": "http_404", "stage": "fetch", "message": "gone"}
    collection.insert_many(
        [
            {"_id": f"{new_id}-odd", "embedding_job": "queued"},
            {"_id": f"{new_id}-odder", "embedding_job": {"status": "failed", "error": "gone"}},
            {"_id": done_id, "embedding_job": done_job},
            {"_id": f"{new_id}-failed", "embedding_job": {"status": "failed", "error": error}},
            {"_id": f"{new_id}-new", "url": "http://host/"},
        ]
    )
    asked = [str(done_id), f"{new_id}-failed", f"{new_id}-new", f"{new_id}-none", f"{new_id}-odd", f"{new_id}-odder"]

    lines = run("status", *asked, **env)
    assert lines.returncode == 1
    assert [line.split("\t")[:2] for line in lines.stdout.splitlines()] == [
        [asked[0], "done"],
        [asked[1], "failed"],
        [asked[2], "pending"],
        [asked[3], "unknown"],
        [asked[4], "pending"],
        [asked[5], "failed"],
    ]
    assert "http_404 at fetch: gone" in lines.stdout

    as_json = run("status", "--json", str(done_id), **env)
    assert as_json.returncode == 0
    assert json.loads(as_json.stdout) == {"id": str(done_id), **done_job, "finished_at": "2026-01-02T00:00:00+00:00"}
