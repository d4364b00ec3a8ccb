"""Which MongoDB the store connects to, and its errors if that is impossible."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pymongo
import pytest

from tests.worker.store.jobs import NO_DOCUMENT, Document, failure, job, result
from worker.errors import StoreUnavailable
from worker.store.mongo import MongoStore

if TYPE_CHECKING:
    from producer.local.stack import Stack


def test_an_unreachable_server_is_reported_without_the_password() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound but not listening: refuses connections
        uri = f"mongodb://user:hunter2@127.0.0.1:{unused.getsockname()[1]}/db"
        store = MongoStore(uri, "images", call_s=10.0, timeout_s=0.1)
        for call in (
            store.ping,
            lambda: store.check(job("a"), "m"),
            lambda: store.save(job("a"), result(), 1, NO_DOCUMENT),
            lambda: store.save_failure(failure(job("a"))),
        ):
            with pytest.raises(StoreUnavailable, match=r"MongoDB did not answer: 127\.0\.0\.1:") as caught:
                call()
            assert "hunter2" not in str(caught.value)
        store.close()


def test_a_call_has_a_deadline() -> None:
    """The server accepts the connection and does not answer."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = MongoStore(f"mongodb://127.0.0.1:{silent.getsockname()[1]}/", "images", call_s=0.1)
        with pytest.raises(StoreUnavailable, match=r"did not answer within 0\.1 s"):
            store.check(job("a"), "m")
        store.close()


@pytest.mark.parametrize(
    ("uri", "collection", "message"),
    [
        ("mongodb://user:hunter2@host:port/", "images", "MONGODB_URI is invalid"),
        ("http://user:hunter2@host/", "images", "MONGODB_URI is invalid"),
        ("mongodb://127.0.0.1:1/", "a$b", r"CLIPQUEUE_COLLECTION=a\$b cannot be used"),
    ],
)
def test_unusable_settings_are_named_and_leave_no_thread(uri: str, collection: str, message: str) -> None:
    before = threading.active_count()
    with pytest.raises(StoreUnavailable, match=message) as caught:
        MongoStore(uri, collection, call_s=1.0)
    assert "hunter2" not in str(caught.value)
    assert threading.active_count() <= before, "a thread of an earlier test may end meanwhile"


@pytest.mark.parametrize(("path", "database"), [("/photos", "photos"), ("/", "clipqueue"), ("", "clipqueue")])
def test_the_database_is_the_one_in_the_path(path: str, database: str, stack: Stack, new_id: str) -> None:
    base = stack.mongodb_uri.rpartition("/")[0]
    store = MongoStore(base + path, "elsewhere", call_s=10.0)
    store.save(job(new_id), result(), 1, NO_DOCUMENT)
    store.close()
    assert store.database == database
    with pymongo.MongoClient[Document](base) as mongo:
        assert mongo[database]["elsewhere"].count_documents({"_id": new_id}) == 1
