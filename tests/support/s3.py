"""An object store on loopback that checks presigned URLs: AWS Signature Version 4 in the query.

The signature is computed over the request line as it came, so a worker that rewrites the URL gets 403, as from a store.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, unquote

from tests.support.servers import Answer, LoopbackServer, send_answer

ACCESS_KEY, SECRET_KEY, REGION = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "auto"
_MAX_EXPIRES_S = 604_800


class ObjectStore(LoopbackServer):
    """A store with the keys of `ACCESS_KEY`.

    Attributes:
        objects: The content of each object by its path, which starts with the bucket.
        token: The session token that belongs to the keys; empty for keys that last.
    """

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.token = ""
        super().__init__(self._handler())

    @property
    def environment(self) -> dict[str, str]:
        """The variables that the SDKs of AWS read."""
        variables = {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL_S3": self.url,
        }
        return variables | ({"AWS_SESSION_TOKEN": self.token} if self.token else {})

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path, _, query = self.path.partition("?")
                if not owner._is_signed(path, query, self.headers["Host"]):
                    send_answer(self, Answer(b"<Error><Code>SignatureDoesNotMatch</Code></Error>", 403))
                    return
                content = owner.objects.get(unquote(path))
                send_answer(self, Answer(b"", 404) if content is None else Answer(content))

            def log_message(self, *_: Any) -> None:
                pass

        return Handler

    def _is_signed(self, path: str, query: str, host: str) -> bool:
        values = {name: value for name, [value] in parse_qs(query).items()}
        try:
            signed_at = datetime.strptime(values["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            lasts_s = int(values["X-Amz-Expires"])
        except KeyError:
            return False
        lasts = timedelta(seconds=lasts_s)
        is_in_time = lasts_s <= _MAX_EXPIRES_S and signed_at <= datetime.now(UTC) < signed_at + lasts
        is_right = hmac.compare_digest(_signature(path, query, host, values), values["X-Amz-Signature"])
        return is_in_time and is_right and values.get("X-Amz-Security-Token", "") == self.token


def _signature(path: str, query: str, host: str, values: dict[str, str]) -> str:
    """Return the signature of a GET request whose only signed header is Host (AWS Signature Version 4)."""
    pairs = sorted(pair for pair in query.split("&") if not pair.startswith("X-Amz-Signature="))
    canonical = "\n".join(("GET", path, "&".join(pairs), f"host:{host}", "", "host", "UNSIGNED-PAYLOAD"))
    scope = values["X-Amz-Credential"].removeprefix(f"{ACCESS_KEY}/")
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = f"AWS4{SECRET_KEY}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    text = "\n".join(("AWS4-HMAC-SHA256", values["X-Amz-Date"], scope, digest))
    return hmac.digest(key, text.encode(), "sha256").hex()
