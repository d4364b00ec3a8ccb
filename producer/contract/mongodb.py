"""How the client and the workers connect to MongoDB, write to it and read its errors. Needs pymongo."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from pymongo import ReadPreference, WriteConcern
from pymongo.errors import ConnectionFailure
from pymongo.read_concern import ReadConcern

from .mongodb_reasons import reason_of
from .text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pymongo.errors import PyMongoError

# `wtimeout` must be shorter than `socketTimeoutMS` (`client_options`).
WRITE_CONCERN = WriteConcern(w="majority", wtimeout=5000)
# Reads decide whether a job is dropped, so they must see every write that was acknowledged before. A secondary, or a
# read concern of "majority", may lag behind the writes of a backend that waits only for the primary. The URI and the
# server's default may say otherwise.
READ_PREFERENCE = ReadPreference.PRIMARY
READ_CONCERN = ReadConcern("local")
_UNUSABLE_URI = "MONGODB_URI is invalid; expected format: mongodb://user:password@host:27017/database"
_NO_SRV = (
    "the SRV record of {}, which MONGODB_URI names, was not found: check the host, and the name servers here. With "
    "mongodb:// instead of mongodb+srv://, none is needed"
)
_FILES = ("tlsCAFile", "tlsCertificateKeyFile", "tlsCRLFile")
_DUPLICATE_KEY = 11000


def client_options(uri: str, app_name: str, timeout_s: float = 5.0, socket_timeout_s: float = 10.0) -> dict[str, Any]:
    """Return the options of a pymongo or motor client, which would win over those of the URI.

    Args:
        uri: The client's URI. What it names itself is left out, except how dates and UUIDs are read.
        app_name: The name that the server's logs show.
        timeout_s: Seconds to find the server, and seconds to connect.
        socket_timeout_s: Seconds to wait for each answer.
    """
    timeout_ms = int(timeout_s * 1e3)
    ours = {
        "serverSelectionTimeoutMS": timeout_ms,
        "connectTimeoutMS": timeout_ms,
        "socketTimeoutMS": int(socket_timeout_s * 1e3),
        "appname": app_name,
    }
    named = set(uri_options(uri))
    if "timeoutms" in named:  # it replaces socketTimeoutMS
        named.add("sockettimeoutms")
    return {
        **{name: value for name, value in ours.items() if name.lower() not in named},
        # A UUID has one form in the documents of all languages, subtype 4. With another one in the URI, the id of a job
        # would be written in an order of bytes of its own, and its document not be found.
        "uuidRepresentation": "standard",
        "tz_aware": True,
        "datetime_conversion": "DATETIME_AUTO",  # a date outside of Python's range must not make a document unreadable
    }


def uri_options(uri: str) -> dict[str, str]:
    """Return the options in a MongoDB URI by their names in lower case."""
    return {name.lower(): value for name, value in parse_qsl(uri.partition("?")[2])}


def names_database(uri: str) -> bool:
    """Return whether a MongoDB URI names a database."""
    return bool(uri.partition("://")[2].partition("?")[0].partition("/")[2])


def describe_unusable_uri(uri: str, exc: Exception) -> str:
    """Return a sentence that is safe to show for a URI that pymongo refuses.

    pymongo's own message may repeat the URI, and with it the password.
    """
    options = uri_options(uri)
    for name in (name for name in _FILES if name.lower() in options):
        try:
            Path(options[name.lower()]).open("rb").close()
        except OSError as unread:
            return f"MONGODB_URI is invalid: the file of its option {name} cannot be read: {unread.strerror}"
    named = " or ".join(name for name in _FILES if name.lower() in options)
    if named and (isinstance(exc, OSError) or "key" in str(exc).lower()):  # both come from OpenSSL
        return f"MONGODB_URI is invalid: the file of its option {named} holds no usable certificate or key"
    if uri.startswith("mongodb+srv://") and "dns" in (str(exc) + type(exc.__cause__ or exc).__module__).lower():
        return _NO_SRV.format(shown_hosts(uri))
    return _UNUSABLE_URI


def is_duplicate_key(error: Mapping[str, Any]) -> bool:
    """Return whether a MongoDB write error comes from a unique index."""
    return bool(error["code"] == _DUPLICATE_KEY)


def unique_fields(error: Mapping[str, Any]) -> list[str]:
    """Return the fields of the unique index that refused a write."""
    return list(error.get("keyPattern", {"_id": 1}))


def is_duplicate_id(error: Mapping[str, Any]) -> bool:
    """Return whether a write failed because a document with this `_id` exists.

    The caller should then read the document again and retry.
    A duplicate in another unique index is different: every further attempt would fail.
    """
    return is_duplicate_key(error) and unique_fields(error) == ["_id"]


def shown_hosts(uri: str) -> str:
    """Return the hosts in a MongoDB URI, without the user, the password and the options."""
    hosts = uri.partition("://")[2].rpartition("@")[2].partition("/")[0].partition("?")[0]
    return printable(hosts, 200)


def describe_failed_request(exc: PyMongoError, hosts: str = "") -> str:
    """Return a sentence for a failed request that is safe to show.

    Args:
        exc: The error.
        hosts: Where MongoDB is, if the caller knows it.
    """
    what = "did not answer" if isinstance(exc, ConnectionFailure) else "refused the request"
    return f"MongoDB{hosts and f' at {hosts}'} {what}: {reason_of(exc).removeprefix(f'{hosts}: ')}"
