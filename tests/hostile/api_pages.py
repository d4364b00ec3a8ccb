"""Requests that a page of another site makes a browser send: with a foreign `Host`, a foreign origin, or both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.hostile.api_expected import NOT_HTTP, Expected, hugging_face, openai, tei
from tests.hostile.api_http import bare, head, post, raw

if TYPE_CHECKING:
    from tests.hostile.api_http import Request

ORIGIN = "https://shop.example"  # the pages that may call the API
WRONG_HOST, WRONG_ORIGIN = openai(403, "wrong_host", None), openai(403, "wrong_origin", None)


def called(host: str, method: str = "GET", path: str = "/v1/models") -> Request:
    """Return a request with this `Host`, which a browser takes from the URL of the page."""
    return raw(head(method, path, host=host, key=None))


def sent_by(origin: str) -> Request:
    """Return a request that a page of this origin sends to an API on the same machine."""
    return post("/v1/images", {"url": "https://a.example/"}, f"Origin: {origin}", key=None)


def preflight(origin: str, method: str = "POST", *headers: str) -> Request:
    """Return the question of a browser whether a page of this origin may make a request."""
    return bare("OPTIONS", "/v1/images", f"Origin: {origin}", f"Access-Control-Request-Method: {method}", *headers)


# To the API without keys.
HOSTS: dict[str, tuple[Request, Expected]] = {
    "another host": (called("evil.example"), WRONG_HOST),
    "another host with the port": (called("evil.example:8000"), WRONG_HOST),
    "a host that begins with this machine's address": (called("127.0.0.1.evil.example"), WRONG_HOST),
    "a host that begins like localhost": (called("localhost.evil.example"), WRONG_HOST),
    "a host behind a user name": (called("localhost@evil.example"), WRONG_HOST),
    "a host behind a path": (called("evil.example/localhost"), WRONG_HOST),
    "another machine's address": (called("192.168.0.1"), WRONG_HOST),
    "this machine's address in decimal": (called("2130706433"), WRONG_HOST),
    "any address as host": (called("0.0.0.0"), WRONG_HOST),
    "a malformed host": (called("[::1"), WRONG_HOST),
    "an empty host": (called(""), WRONG_HOST),
    "another host for the page": (called("evil.example", path="/"), WRONG_HOST),
    "another host for the health": (called("evil.example", path="/healthz"), WRONG_HOST),
    "another host for Hugging Face's path": (called("evil.example", "POST", "/models/clip"), hugging_face(403)),
    "another host for TEI's path": (called("evil.example", "POST", "/embed"), tei(403, "validation")),
    "another origin": (sent_by("http://evil.example"), WRONG_ORIGIN),
    "another origin that begins like localhost": (sent_by("http://localhost.evil.example"), WRONG_ORIGIN),
    "another port of this machine": (sent_by("http://localhost:9999"), WRONG_ORIGIN),
    "the origin of a sandbox": (sent_by("null"), WRONG_ORIGIN),
    "the origin of a file": (sent_by("file://"), WRONG_ORIGIN),
}
# To the API with keys, which `ORIGIN` may call.
ORIGINS: dict[str, tuple[Request, Expected]] = {
    "a preflight of another origin": (preflight("https://evil.example"), NOT_HTTP),
    "a preflight of a longer origin": (preflight(f"{ORIGIN}.evil.example"), NOT_HTTP),
    "a preflight of another scheme": (preflight("http://shop.example"), NOT_HTTP),
    "a preflight of a sandbox": (preflight("null"), NOT_HTTP),
    "a preflight for another method": (preflight(ORIGIN, "PATCH"), NOT_HTTP),
    "a preflight for another header": (
        preflight(ORIGIN, "POST", "Access-Control-Request-Headers: x-forwarded-for"), NOT_HTTP
    ),
    "a request of an allowed origin without a key": (sent_by(ORIGIN), openai(401, "invalid_api_key")),
    "a request of another origin without a key": (sent_by("https://evil.example"), openai(401, "invalid_api_key")),
    "OPTIONS of no page": (bare("OPTIONS", "/v1/images", key=None), openai(401, "invalid_api_key")),
}  # fmt: skip
