"""`clipqueue enqueue`: ids, files and invalid rows."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest
import redis
from bson import ObjectId, json_util

from producer.cli.enqueue import enqueue
from producer.cli.enqueue_sender import report
from producer.contract.ids import parse_image_id
from producer.contract.records import bson_id, possible_ids
from tests.support.commands import invoke
from tests.support.queued import accepted_jobs

if TYPE_CHECKING:
    from pymongo.collection import Collection

    from producer.local.stack import Stack


Document = dict[str, Any]

OID = "65f0c0ffee65f0c0ffee65f0"
UUID = "3b241101-e2bb-4255-8caf-4136c566a962"


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


def test_an_id_may_be_a_string_an_object_id_an_integer_or_a_uuid(env: dict[str, str], queue: redis.Redis) -> None:
    env = {**env, "REDIS_URL": env["REDIS_URL"][:-1] + "6"}
    for arguments in (
        ("photo-1",),
        (OID, "--object-id"),
        (OID, "--id-type", "object-id"),
        (f"ObjectId('{OID}')",),
        ("5", "--id-type", "integer"),
        (UUID, "--id-type", "uuid"),
    ):
        done = invoke("enqueue", "http://host/a.jpg", "--id", *arguments, **env)
        assert (done.returncode, done.stderr) == (0, "enqueued 1, invalid rows 0\n")
        assert done.stdout.strip() == (OID if OID in arguments[0] else arguments[0])
    assert [kwargs["image_id"] for kwargs in accepted_jobs(queue)] == [
        "photo-1",
        *[{"$oid": OID}] * 3,
        {"$numberLong": "5"},
        {"$uuid": UUID},
    ]
    assert "24 hex" in invoke("enqueue", "http://host/a.jpg", "--id", "photo-1", "--object-id", **env).stderr


def test_a_string_that_looks_like_an_object_id_is_enqueued_with_one_warning(env: dict[str, str]) -> None:
    rows = f"id,url\nphoto-1,http://host/1.jpg\n{OID},http://host/2.jpg\n{OID[::-1]},http://host/3.jpg\n"
    done = invoke("enqueue", "--from", "-", stdin=rows, **env)
    assert (done.returncode, done.stdout.split()) == (0, ["photo-1", OID, OID[::-1]])
    assert done.stderr.startswith(f"line 3: warning: the id {OID} is enqueued as a string")
    assert "give --object-id; --id-type string ends this warning\nenqueued 3" in done.stderr
    assert "warning: " in invoke("enqueue", "http://host/a.jpg", "--id", OID, **env).stderr
    assert invoke("enqueue", "--from", "-", "--id-type", "string", stdin=rows, **env).stderr.startswith("enqueued 3")


def test_what_is_printed_finds_the_document_again(env: dict[str, str], queue: redis.Redis) -> None:
    env = {**env, "REDIS_URL": env["REDIS_URL"][:-1] + "6"}
    ids = ["a b", 5, {"$oid": OID}, {"$uuid": UUID}, "5", OID, UUID]
    rows = "".join(json.dumps({"_id": image_id, "url": "http://host/a.jpg"}) + "\n" for image_id in ids)
    printed = invoke("enqueue", "--from", "-", stdin=rows, **env).stdout.splitlines()
    queued = [bson_id(parse_image_id(kwargs["image_id"])) for kwargs in accepted_jobs(queue)]
    assert len(queued) == len(printed) == len(ids)
    assert all(image_id in possible_ids(text) for image_id, text in zip(queued, printed, strict=True))


def test_status_finds_the_documents_by_what_is_printed(env: dict[str, str], collection: Collection[Document]) -> None:
    """Not of UUIDs: the embedded MongoDB stores them, but does not find them again."""
    ids = [f"photo {uuid.uuid4()}", ObjectId(), uuid.uuid4().int >> 66]
    collection.insert_many([{"_id": image_id} for image_id in ids])
    rows = json_util.dumps([{"_id": image_id, "url": "http://host/a.jpg"} for image_id in ids])
    printed = invoke("enqueue", "--from", "-", stdin=rows, **env).stdout.splitlines()
    assert printed == [str(image_id) for image_id in ids]
    found = invoke("status", *printed, **env)
    assert [line.split("\t")[1] for line in found.stdout.splitlines()] == ["pending"] * 3


def test_an_empty_id_is_refused(env: dict[str, str]) -> None:
    """It may come from a shell variable that is not set, and must not mean another document."""
    done = invoke("enqueue", "http://host/a.jpg", "--id", "", **env)
    assert (done.returncode, done.stdout) == (1, "")
    assert "image_id is empty" in done.stderr


def test_ids_are_printed_only_after_their_jobs_are_enqueued() -> None:
    done = invoke("enqueue", "http://host/a.jpg", REDIS_URL="redis://127.0.0.1:1/0")
    assert (done.returncode, done.stdout) == (1, "")
    assert "(enqueued so far: 0, invalid rows: 0)" in done.stderr


@pytest.mark.parametrize("head", ["| head -1", "2>&1 | head -1"])
def test_a_closed_pipe_loses_no_job(stack: Stack, head: str) -> None:
    """`clipqueue enqueue --from FILE | head -1` enqueues the whole file. The shell and head need a process."""
    redis_url = stack.redis_url.removesuffix("0") + "5"
    rows = "".join(f"http://host/{n}.jpg\n" if n != 2_500 else "broken\n" for n in range(5_001))
    command = f"{sys.executable} -m producer enqueue --from - {head}"
    env = {**os.environ, "REDIS_URL": redis_url}
    done = subprocess.run(["/bin/sh", "-c", command], input=rows, env=env, capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 1
    if "2>&1" not in head:
        assert done.stderr.endswith("enqueued 5000, invalid rows 1\n")
    with redis.Redis.from_url(redis_url) as client:
        assert client.llen("images") == 5_000
        client.flushdb()


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")
def test_a_full_disk_under_the_output_is_one_sentence_with_the_count(redis_url: str, queue: redis.Redis) -> None:
    """A process: Python writes what is left of its output when it ends."""
    command = [sys.executable, "-m", "producer", "enqueue", "http://host/a.jpg", "http://host/b.jpg"]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            command,
            env={**os.environ, "REDIS_URL": redis_url},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == (
        "clipqueue: the output cannot be written: No space left on device (enqueued so far: 2, the last is URL 2, "
        "invalid rows: 0)\n"
    )
    assert queue.llen("images") == 2


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
        assert "line 8: the row has 1 column, not 2" in done.stderr
        assert "line 9: the URL is not valid Unicode" in done.stderr
        assert done.stderr.endswith("enqueued 3, invalid rows 3, comments 1\n")


def test_of_many_invalid_rows_the_first_are_shown_and_the_others_counted(env: dict[str, str]) -> None:
    rows = "http://host/a.jpg\n" + "http://user@host/a.jpg\n" * 1000
    done = invoke("enqueue", "--from", "-", stdin=rows, **env)
    lines = done.stderr.splitlines()
    assert (done.returncode, len(lines)) == (1, 22)
    assert lines[19].startswith("line 21: the URL contains a user name")
    assert lines[20:] == ["more invalid rows are only counted", "enqueued 1, invalid rows 1000"]


def test_rows_before_what_cannot_be_read_are_enqueued_and_counted(env: dict[str, str]) -> None:
    done = invoke("enqueue", "--from", "-", stdin='[{"_id": "a", "url": "http://host/a.jpg"}, {"_id": ', **env)
    assert (done.returncode, done.stdout) == (1, "a\n")
    assert done.stderr == (
        "clipqueue: the input ends inside object 2 (line 1): it is not complete "
        "(enqueued so far: 1, the last is object 1 (line 1), invalid rows: 0)\n"
    )


def test_a_file_that_is_no_text_is_one_error(env: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "photos.csv"
    path.write_bytes(b"PK\x03\x04" + b"\n" * 1000)
    done = invoke("enqueue", "--from", str(path), **env)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "clipqueue: the input is a zip archive, such as a spreadsheet (xlsx, ods): save it as CSV "
        "(enqueued so far: 0, invalid rows: 0)\n"
    )


def test_an_empty_file_is_no_error_and_a_folder_is_one(env: dict[str, str], tmp_path: Path) -> None:
    done = invoke("enqueue", "--from", "-", **env)
    assert (done.returncode, done.output) == (0, "enqueued 0, invalid rows 0\n")
    folder = invoke("enqueue", "--from", str(tmp_path), **env)
    assert (folder.returncode, "directory" in folder.stderr) == (2, True)


def test_a_closed_standard_input_is_a_wrong_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)  # as Python does if the shell says `<&-`
    with pytest.raises(click.UsageError, match="standard input is closed"):
        enqueue.make_context("clipqueue", ["--from", "-"])


def test_an_id_that_the_terminal_cannot_show_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stderr", terminal)
    report("ü 写真")
    assert terminal.buffer.getvalue() == b"\xfc \\u5199\\u771f\n"
