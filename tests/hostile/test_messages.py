"""Malformed and malicious messages: the worker parks them or records a failure, and goes on."""

from __future__ import annotations

import base64
import json
import os
import pickle
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.hostile.messages import PARKED, RECORDED, REPAIRED, URL, changed, job, message
from tests.support.commands import COMMAND
from tests.support.waiting import wait_for
from worker.broker.validation import MAX_MESSAGE_BYTES

if TYPE_CHECKING:
    from tests.support.hostile import HostileWorker


class Exploit:
    """An object that creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self._path,))


@pytest.fixture(scope="module")
def parked(hostile_worker: HostileWorker) -> list[dict[str, Any]]:
    hostile_worker.broker.delete("clipqueue:parked")
    hostile_worker.push(*PARKED.values())
    wait_for(lambda: len(hostile_worker.parked()) == len(PARKED), "every item to be parked")
    return [json.loads(entry) for entry in reversed(hostile_worker.parked())]


@pytest.mark.parametrize("number", range(len(PARKED)), ids=PARKED)
def test_an_item_without_a_valid_id_is_parked(number: int, parked: list[dict[str, Any]]) -> None:
    item = list(PARKED.values())[number]
    item = item.encode() if isinstance(item, str) else item
    entry = parked[number]
    assert base64.b64decode(entry["item"]) == item[:MAX_MESSAGE_BYTES]
    assert entry["bytes"] == len(item)
    assert entry["reason"]
    assert "deadbeef" not in entry["reason"]


@pytest.fixture(scope="module")
def recorded(hostile_worker: HostileWorker) -> dict[str, dict[str, Any]]:
    ids = {f"recorded-{number}": name for number, name in enumerate(RECORDED)}
    hostile_worker.push(*[message(changed(job(image_id=image_id), RECORDED[name])) for image_id, name in ids.items()])
    failed = {"_id": {"$in": list(ids)}, "embedding_job.status": "failed"}
    wait_for(lambda: hostile_worker.collection.count_documents(failed) == len(ids), "every failure to be recorded")
    return {ids[found["_id"]]: found["embedding_job"] for found in hostile_worker.collection.find(failed)}


@pytest.mark.parametrize("name", RECORDED)
def test_an_invalid_job_with_a_valid_id_is_recorded_in_its_document(
    name: str, recorded: dict[str, dict[str, Any]]
) -> None:
    error = recorded[name]["error"]
    assert (error["code"], error["stage"]) == ("invalid_job", "receive")
    assert "deadbeef" not in error["message"]


def image_id_of(item: str) -> str:
    body = base64.b64decode(json.loads(item)["body"])
    return str(json.loads(body)[1]["image_id"])


@pytest.fixture(scope="module")
def repaired(hostile_worker: HostileWorker) -> dict[str, dict[str, Any]]:
    ids = {
        name: json.loads(base64.b64decode(json.loads(item)["body"]))[1]["image_id"] for name, item in REPAIRED.items()
    }
    hostile_worker.push(*REPAIRED.values())
    failed = {"_id": {"$in": list(ids.values())}, "embedding_job.status": "failed"}
    wait_for(lambda: hostile_worker.collection.count_documents(failed) == len(ids), "every job to end")
    by_id = {found["_id"]: found["embedding_job"] for found in hostile_worker.collection.find(failed)}
    return {name: by_id[image_id] for name, image_id in ids.items()}


@pytest.mark.parametrize("name", REPAIRED)
def test_invalid_parts_around_a_valid_job_are_repaired(name: str, repaired: dict[str, dict[str, Any]]) -> None:
    assert repaired[name]["error"]["code"] == "blocked_address"


def test_nothing_is_unpickled(hostile_worker: HostileWorker, tmp_path: Path) -> None:
    """This holds for the item and for the body, whatever content type the message names."""
    trace = tmp_path / "unpickled"
    exploit = pickle.dumps(Exploit(trace))
    for kind in ("application/x-python-serialize", "application/json", "pickle"):
        hostile_worker.push(message(envelope={"content-type": kind, "body": base64.b64encode(exploit).decode()}))
    hostile_worker.push(exploit)
    assert hostile_worker.embeds_a_good_image()
    assert not trace.exists()
    pickle.loads(exploit)  # noqa: S301  (shows that the exploit works)
    assert trace.exists()


def test_doctor_shows_the_parked_items(hostile_worker: HostileWorker) -> None:
    hostile_worker.broker.delete("clipqueue:parked")
    hostile_worker.push(
        "garbage with \x1b[2J and http://host/a.jpg?sig=deadbeef",
        r'{"url": "https:\/\/host\/a.jpg?sig=deadbeef"}',
        r'{"url": "https://host/a.jpg\u003fsig=deadbeef"}',
        message({"url": URL}),
    )
    wait_for(lambda: len(hostile_worker.parked()) == 4, "the items to be parked")
    env = {**os.environ, "REDIS_URL": hostile_worker.redis_url}
    done = subprocess.run([*COMMAND, "doctor"], env=env, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "FAIL  parked: 4 messages on the queue" in done.stdout
    assert "is not JSON" in done.stdout
    assert "garbage with" in done.stdout
    assert "\x1b" not in done.stdout
    assert "deadbeef" not in done.stdout
    assert base64.b64encode(b"deadbeef").decode()[:8] not in done.stdout

    hostile_worker.broker.delete("clipqueue:parked")
    done = subprocess.run([*COMMAND, "doctor"], env=env, capture_output=True, text=True, check=False, timeout=60)
    assert "ok    parked: " in done.stdout
    assert done.stderr == ""


def test_the_same_worker_embeds_a_good_image(
    parked: Any, recorded: Any, repaired: Any, hostile_worker: HostileWorker
) -> None:
    assert hostile_worker.embeds_a_good_image()
    wait_for(lambda: hostile_worker.broker.hlen("unacked") == 0, "every message to be acked")
    assert "deadbeef" not in hostile_worker.log
    assert "Traceback" not in hostile_worker.log
