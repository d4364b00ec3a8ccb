"""Checks the MongoDB server: whether it answers, and its write concern."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pymongo.errors import PyMongoError

from producer.contract.mongodb_reasons import reason_of
from producer.contract.text import printable
from producer.documents.connection import open_collection
from producer.operations.doctor.clocks import Clock, read_clock
from producer.operations.doctor.documents import document_findings
from producer.operations.doctor.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pymongo.collection import Collection

    Documents = Collection[dict[str, Any]]


_MONGOS = "isdbgrid"  # what a sharded cluster's router says in `msg`


def check_mongodb(uri: str, collection: str) -> tuple[list[Finding], list[Clock], tuple[str, str]]:
    """Return the findings, MongoDB's clock if it answers, and the names of the database and the collection.

    Raises:
        ConfigurationError: The URI or the collection's name is not valid.
    """
    with open_collection(uri, collection) as documents:
        namespace = documents.database.name, documents.name
        try:
            server, clock, is_standalone = _check_server(documents)
        except PyMongoError as exc:
            return [_unavailable(exc)], [], namespace
        write_concern = _check_write_concern(documents, is_standalone=is_standalone)
        return [server, write_concern, *document_findings(documents)], [clock], namespace


def write_concern_finding(
    requested: Mapping[str, Any], default: Mapping[str, Any] | None, *, is_standalone: bool = False
) -> Finding:
    """Check whether writes wait for a majority.

    Args:
        requested: The write concern in the URI.
        default: The server's default write concern, empty if nobody has set one; None if it is unknown.
        is_standalone: The server has no replicas, so there is no failover.
    """
    if "w" not in requested and is_standalone:
        return Finding.ok(
            "write concern", "the server's default; a standalone server has no failover that undoes writes"
        )
    if "w" not in requested and default is None:
        return Finding.unknown(
            "write concern",
            "the server's default, which this user may not ask for: majority since MongoDB 5.0, unless somebody has "
            "changed it",
            "To be independent of it, put w=majority in MONGODB_URI.",
        )
    source, effective = ("MONGODB_URI sets", requested) if "w" in requested else ("the server's default is", default)
    if not effective or "w" not in effective:
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
    if hello.get("msg") == _MONGOS:
        return "sharded cluster"
    return "standalone, so there is no second copy of the data"


def _check_server(documents: Documents) -> tuple[Finding, Clock, bool]:
    """Return the finding on the server, its clock, and whether it is a standalone one."""
    admin = documents.database.client.admin
    answer: dict[str, Any] = {}

    def hello() -> float:
        answer.update(admin.command("hello"))
        return _to_seconds(answer.get("localTime"))

    admin.command("ping")  # opens the connection, so that the clock is read without that delay
    clock = read_clock("MongoDB", hello)
    is_standalone = "setName" not in answer and answer.get("msg") != _MONGOS
    return _describe_server(documents, answer), clock, is_standalone


def _unavailable(exc: PyMongoError) -> Finding:
    todo = "Until it answers, the documents cannot be checked, and the workers store nothing."
    return Finding.problem("mongodb", f"it cannot be used: {reason_of(exc)}", todo)


def _describe_server(documents: Documents, hello: Mapping[str, Any]) -> Finding:
    client = documents.database.client
    try:
        version = f" {printable(str(client.admin.command('buildInfo').get('version')))}"
    except PyMongoError:
        version = ""
    hosts = ", ".join(sorted(f"{host}:{port}" for host, port in client.nodes))
    return Finding.ok("mongodb", f"MongoDB{version} answers at {hosts}, {deployment_of(hello)}")


def _check_write_concern(documents: Documents, *, is_standalone: bool) -> Finding:
    try:
        found = documents.database.client.admin.command("getDefaultRWConcern")
        default: Any = found.get("defaultWriteConcern", {})
    except PyMongoError:  # a standalone server refuses the command, and users need a permission for it
        default = None
    return write_concern_finding(documents.write_concern.document, default, is_standalone=is_standalone)


def _to_seconds(date: Any) -> float:
    if not isinstance(date, datetime):
        return time.time()  # MongoDB-compatible servers may not send localTime
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
