"""What `clipqueue doctor` asks of MongoDB as a server: whether it answers, and when a write counts."""

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


def examine_mongodb(uri: str, collection: str) -> tuple[list[Finding], list[Clock], tuple[str, str]]:
    """Return what is found, MongoDB's clock if it answers, and the names of the database and the collection.

    Raises:
        ConfigurationError: The URI or the collection's name cannot be used.
    """
    with open_collection(uri, collection) as documents:
        here = documents.database.name, documents.name
        try:
            server, clock = _ask(documents)
        except PyMongoError as exc:
            return [_away(exc)], [], here
        return [server, _write_concern(documents), *document_findings(documents)], [clock], here


def write_concern_finding(asked: Mapping[str, Any], default: Mapping[str, Any]) -> Finding:
    """Return whether a write counts only when a majority has it.

    Args:
        asked: What the URI asks for.
        default: What the server does if nothing is asked for; empty if it does not say.
    """
    where, effective = ("MONGODB_URI asks for", asked) if "w" in asked else ("the server's default is", default)
    if "w" not in effective:
        return Finding.well("write concern", "the server's default, which is majority since MongoDB 5.0")
    shown = f"{where} w={printable(str(effective['w']))}"
    if effective["w"] not in (0, 1):
        return Finding.well("write concern", shown)
    return Finding.look(
        "write concern",
        f"{shown}: a change of primary can undo what your backend writes (a worker always asks for a majority)",
        "Put w=majority in MONGODB_URI.",
    )


def kind_of(hello: Mapping[str, Any]) -> str:
    """Return what kind of deployment answers so to `hello`."""
    if "setName" in hello:
        return f"replica set {printable(str(hello['setName']))}"
    if hello.get("msg") == "isdbgrid":  # mongos says so
        return "sharded cluster"
    return "standalone, so that what is written is on one machine only"


def _ask(documents: Documents) -> tuple[Finding, Clock]:
    admin = documents.database.client.admin
    answer: dict[str, Any] = {}

    def hello() -> float:
        answer.update(admin.command("hello"))
        return _seconds(answer.get("localTime"))

    admin.command("ping")  # connects, so that the clock is read without that time
    clock = read_clock("MongoDB", hello)
    return _server(documents, answer), clock


def _away(exc: PyMongoError) -> Finding:
    todo = "See that it runs, can be reached from here, and takes the user and password in MONGODB_URI."
    return Finding.look("mongodb", f"it did not answer: {describe_error(exc)}", todo)


def _server(documents: Documents, hello: Mapping[str, Any]) -> Finding:
    client = documents.database.client
    try:
        version = f" {printable(str(client.admin.command('buildInfo').get('version')))}"
    except PyMongoError:
        version = ""
    hosts = ", ".join(sorted(f"{host}:{port}" for host, port in client.nodes))
    return Finding.well("mongodb", f"MongoDB{version} answers at {hosts}, {kind_of(hello)}")


def _write_concern(documents: Documents) -> Finding:
    default: Any = {}
    with suppress(PyMongoError):  # a standalone server refuses, and not every user may ask
        default = documents.database.client.admin.command("getDefaultRWConcern").get("defaultWriteConcern", {})
    return write_concern_finding(documents.write_concern.document, default)


def _seconds(at: Any) -> float:
    if not isinstance(at, datetime):
        return time.time()  # what speaks MongoDB's protocol need not say
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
