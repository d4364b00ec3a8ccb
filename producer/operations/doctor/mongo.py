"""Checks the MongoDB server: whether it answers, and its write concern."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pymongo.errors import PyMongoError

from producer.contract.mongodb import describe_error
from producer.contract.text import printable
from producer.documents.connection import open_collection
from producer.operations.doctor.clocks import Clock, read_clock
from producer.operations.doctor.documents import document_findings
from producer.operations.doctor.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pymongo.collection import Collection

    Documents = Collection[dict[str, Any]]


def check_mongodb(uri: str, collection: str) -> tuple[list[Finding], list[Clock], tuple[str, str]]:
    """Return the findings, MongoDB's clock if it answers, and the names of the database and the collection.

    Raises:
        ConfigurationError: The URI or the collection's name is not valid.
    """
    with open_collection(uri, collection) as documents:
        namespace = documents.database.name, documents.name
        try:
            server, clock = _check_server(documents)
        except PyMongoError as exc:
            return [_unavailable(exc)], [], namespace
        return [server, _check_write_concern(documents), *document_findings(documents)], [clock], namespace


def write_concern_finding(requested: Mapping[str, Any], default: Mapping[str, Any]) -> Finding:
    """Check whether writes wait for a majority.

    Args:
        requested: The write concern in the URI.
        default: The server's default write concern; empty if it is unknown.
    """
    source, effective = ("MONGODB_URI sets", requested) if "w" in requested else ("the server's default is", default)
    if "w" not in effective:
        return Finding.ok("write concern", "the server's default, which is majority since MongoDB 5.0")
    shown = f"{source} w={printable(str(effective['w']))}"
    if effective["w"] not in (0, 1):
        return Finding.ok("write concern", shown)
    return Finding.problem(
        "write concern",
        f"{shown}: a failover can undo what your backend writes (a worker always waits for a majority)",
        "Put w=majority in MONGODB_URI.",
    )


def deployment_of(hello: Mapping[str, Any]) -> str:
    """Return the kind of deployment that gave this answer to `hello`."""
    if "setName" in hello:
        return f"replica set {printable(str(hello['setName']))}"
    if hello.get("msg") == "isdbgrid":  # sent by mongos
        return "sharded cluster"
    return "standalone, so there is no second copy of the data"


def _check_server(documents: Documents) -> tuple[Finding, Clock]:
    admin = documents.database.client.admin
    answer: dict[str, Any] = {}

    def hello() -> float:
        answer.update(admin.command("hello"))
        return _to_seconds(answer.get("localTime"))

    admin.command("ping")  # opens the connection, so that the clock is read without that delay
    clock = read_clock("MongoDB", hello)
    return _describe_server(documents, answer), clock


def _unavailable(exc: PyMongoError) -> Finding:
    todo = "Check that it runs, can be reached from here, and accepts the user and password in MONGODB_URI."
    return Finding.problem("mongodb", f"it did not answer: {describe_error(exc)}", todo)


def _describe_server(documents: Documents, hello: Mapping[str, Any]) -> Finding:
    client = documents.database.client
    try:
        version = f" {printable(str(client.admin.command('buildInfo').get('version')))}"
    except PyMongoError:
        version = ""
    hosts = ", ".join(sorted(f"{host}:{port}" for host, port in client.nodes))
    return Finding.ok("mongodb", f"MongoDB{version} answers at {hosts}, {deployment_of(hello)}")


def _check_write_concern(documents: Documents) -> Finding:
    default: Any = {}
    with suppress(PyMongoError):  # a standalone server refuses the command, and users need a permission for it
        default = documents.database.client.admin.command("getDefaultRWConcern").get("defaultWriteConcern", {})
    return write_concern_finding(documents.write_concern.document, default)


def _to_seconds(date: Any) -> float:
    if not isinstance(date, datetime):
        return time.time()  # MongoDB-compatible servers may not send localTime
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
