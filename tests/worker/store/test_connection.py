"""Which MongoDB the store connects to, and its errors if that is impossible."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pymongo
import pytest

from producer.contract.errors import ConfigurationError
from producer.documents.connection import connect_collection
from tests.support.waiting import wait_for
from tests.worker.store.jobs import NO_DOCUMENT, Document, failure, job, result
from worker.errors import StoreUnavailable
from worker.store.mongo import MongoStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

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


@contextmanager
def silent_server() -> Iterator[str]:
    """The URI of a server that accepts connections and does not answer."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield f"mongodb://127.0.0.1:{silent.getsockname()[1]}/"


def test_a_call_has_a_deadline() -> None:
    with silent_server() as uri:
        store = MongoStore(uri, "images", call_s=0.1)
        with pytest.raises(StoreUnavailable, match=r"did not answer within 0\.1 s"):
            store.check(job("a"), "m")
        store.close()


def test_closing_the_store_ends_a_bulk_request_that_nobody_waits_for(caplog: pytest.LogCaptureFixture) -> None:
    with silent_server() as uri:
        store = MongoStore(uri, "images", call_s=0.1)
        with pytest.raises(StoreUnavailable):
            store.check(job("a"), "m")
        loop = store._connection.loop
        wait_for(lambda: len(asyncio.all_tasks(loop)) == 1, "the call to end")
        (bulk,) = asyncio.all_tasks(loop)
        store.close()
    assert bulk.cancelled()
    assert loop.is_closed()
    del bulk
    gc.collect()
    assert not [record for record in caplog.records if "was destroyed but it is pending" in record.message]


def test_closing_the_store_ends_a_call_that_waits() -> None:
    with silent_server() as uri, ThreadPoolExecutor(1) as pool:
        store = MongoStore(uri, "images", call_s=60.0)
        waiting = pool.submit(store.check, job("a"), "m")
        wait_for(lambda: len(asyncio.all_tasks(store._connection.loop)) == 2, "the call and its bulk request")
        store.close()
        with pytest.raises(StoreUnavailable, match="the connection to MongoDB was closed before it answered"):
            waiting.result(60)


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


OPTIONS = (
    "serverSelectionTimeoutMS=11&CONNECTTIMEOUTMS=12&socketTimeoutMS=13&appName=shop&maxPoolSize=14&tz_aware=false"
)


@contextmanager
def worker_client(uri: str) -> Iterator[Any]:
    store = MongoStore(uri, "images", call_s=1.0)
    yield store._collection.database.client.delegate
    store.close()


@contextmanager
def producer_client(uri: str) -> Iterator[Any]:
    with connect_collection(uri, "images").database.client as client:
        yield client


@pytest.mark.parametrize("connect", [worker_client, producer_client])
def test_the_options_of_the_uri_win(connect: Callable[[str], AbstractContextManager[Any]]) -> None:
    with connect(f"mongodb://127.0.0.1:1/?{OPTIONS}") as client:
        pool = client.options.pool_options
        assert client.options.server_selection_timeout == 0.011
        assert (pool.connect_timeout, pool.socket_timeout, pool.max_pool_size) == (0.012, 0.013, 14)
        assert pool.appname == "shop"
        assert client.codec_options.tz_aware  # how dates are read is no option
    with connect("mongodb://127.0.0.1:1/?timeoutMS=900") as client:
        assert (client.options.timeout, client.options.pool_options.socket_timeout) == (0.9, None)
    with connect("mongodb://127.0.0.1:1/") as client:
        pool = client.options.pool_options
        assert (client.options.server_selection_timeout, pool.connect_timeout, pool.socket_timeout) == (5, 5, 10)
        assert pool.appname.startswith("clipqueue")


@pytest.mark.parametrize(
    ("option", "content", "reason"),
    [
        ("tlsCAFile", None, "the file of its option tlsCAFile cannot be read: No such file or directory"),
        ("tlsCAFile", "no certificate", "the file of its option tlsCAFile holds no usable certificate or key"),
        ("tlsCertificateKeyFile", None, "the file of its option tlsCertificateKeyFile cannot be read"),
        ("tlsCertificateKeyFile", "no key", "option tlsCertificateKeyFile holds no usable certificate or key"),
        ("tlscrlfile", None, "the file of its option tlsCRLFile cannot be read"),
    ],
)
@pytest.mark.parametrize(
    ("connect", "error"), [(worker_client, StoreUnavailable), (producer_client, ConfigurationError)]
)
def test_an_unusable_file_of_certificates_is_named_by_its_option(
    connect: Callable[[str], AbstractContextManager[Any]],
    error: type[Exception],
    option: str,
    content: str | None,
    reason: str,
    tmp_path: Path,
) -> None:
    file = tmp_path / "certificates.pem"
    if content:
        file.write_text(content)
    with (
        pytest.raises(error, match=f"MONGODB_URI is invalid: .*{reason}") as caught,
        connect(f"mongodb://user:hunter2@127.0.0.1:1/?tls=true&{option}={file}"),
    ):
        pass
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(("path", "database"), [("/photos", "photos"), ("/", "clipqueue"), ("", "clipqueue")])
def test_the_database_is_the_one_in_the_path(path: str, database: str, stack: Stack, new_id: str) -> None:
    base = stack.mongodb_uri.rpartition("/")[0]
    store = MongoStore(base + path, "elsewhere", call_s=10.0)
    store.save(job(new_id), result(), 1, NO_DOCUMENT)
    store.close()
    assert store.database == database
    with pymongo.MongoClient[Document](base) as mongo:
        assert mongo[database]["elsewhere"].count_documents({"_id": new_id}) == 1
