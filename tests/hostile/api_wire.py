"""Requests that are malformed, ambiguous, slow or endless on the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.hostile.api_expected import CLOSED, NOT_HTTP, Expected, hugging_face, openai, tei
from tests.hostile.api_http import AUTHORIZED, bare, get, head, raw

if TYPE_CHECKING:
    from tests.hostile.api_http import Request

PATH = "/v1/embeddings"
JSON = '{"input": "a cat"}'
LENGTH = f"Content-Length: {len(JSON)}"
CHUNKED = "Transfer-Encoding: chunked"
CHUNK = f"{len(JSON):x}\r\n{JSON}\r\n0\r\n\r\n"
NO_CHUNK = "0\r\n\r\n"
SMUGGLED = head("GET", "/v1/models")
DRIP_S = 0.1


def sent(*headers: str, body: str = JSON, path: str = PATH) -> Request:
    """Return a POST request with exactly these headers and this body, which may contradict each other."""
    return raw(head("POST", path, *headers) + body)


def kept(*headers: str, body: str, key: str | None = AUTHORIZED) -> Request:
    """Return a POST request that asks for an open connection, on which the API might read a second request."""
    return raw(head("POST", PATH, *headers, key=key, connection="keep-alive") + body)


def dripped(start: str, part: str) -> Request:
    """Return a request that sends `part` ten times a second, for longer than any limit."""
    return raw(start, *[step for _ in range(40) for step in (DRIP_S, part)])


def one(*lines: str) -> Request:
    """Return a request of these lines."""
    return raw("\r\n".join([*lines, "", ""]))


NOT_READABLE: dict[str, tuple[Request, Expected]] = {
    "garbage": (raw(bytes(range(256)) + b"\r\n\r\n"), NOT_HTTP),
    "a TLS handshake": (raw(b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + bytes(99) + b"\r\n\r\n"), NOT_HTTP),
    "a command for Redis": (raw("*1\r\n$8\r\nFLUSHALL\r\n\r\n"), NOT_HTTP),
    "HTTP/0.9": (raw("GET /healthz\r\n\r\n"), NOT_HTTP),
    "no Host": (one("GET /v1/models HTTP/1.1", AUTHORIZED), NOT_HTTP),
    "two Hosts": (get("/v1/models", "Host: evil.example"), NOT_HTTP),
    "a space before a colon": (get("/v1/models", "X-Api-Key : a"), NOT_HTTP),
    "a null character in a header": (get("/v1/models", "X-Request-Id: a\0b"), NOT_HTTP),
    "a carriage return in a header": (get("/v1/models", f"X-Request-Id: a\rX-{AUTHORIZED}"), NOT_HTTP),
    "a null character in the target": (get("/v1/images/a\0b"), NOT_HTTP),
    "a space in the target": (get("/v1/images/a b"), NOT_HTTP),
    "bytes beyond ASCII in the target": (get("/v1/images/\xe9"), NOT_HTTP),
    "two lengths that differ": (sent(LENGTH, "Content-Length: 3"), NOT_HTTP),
    "two lengths in one header": (sent("Content-Length: 18, 3"), NOT_HTTP),
    "a negative length": (sent("Content-Length: -1"), NOT_HTTP),
    "a length with a sign": (sent("Content-Length: +18"), NOT_HTTP),
    "a length in hexadecimal": (sent("Content-Length: 0x12"), NOT_HTTP),
    "chunks that are compressed": (sent("Transfer-Encoding: gzip, chunked", body=CHUNK), NOT_HTTP),
    "chunked twice": (sent(CHUNKED, CHUNKED, body=CHUNK), NOT_HTTP),
    "a coding that is almost chunked": (sent("Transfer-Encoding: \x0bchunked", body=CHUNK), NOT_HTTP),
    "a chunk size of letters": (sent(CHUNKED, body="zz\r\nx\r\n0\r\n\r\n"), NOT_HTTP),
    "a negative chunk size": (sent(CHUNKED, body="-5\r\nhello\r\n0\r\n\r\n"), NOT_HTTP),
    "a chunk size beyond 64 bits": (sent(CHUNKED, body="f" * 30 + "\r\nhello\r\n0\r\n\r\n"), NOT_HTTP),
    "a chunk extension of 200 KB": (
        sent(CHUNKED, body="12;" + "x" * 200_000 + "\r\n" + JSON + "\r\n0\r\n\r\n"),
        NOT_HTTP,
    ),
    "trailers of 200 KB": (sent(CHUNKED, body=CHUNK[:-2] + "X: " + "y" * 200_000 + "\r\n\r\n"), NOT_HTTP),
}
TOO_LARGE: dict[str, tuple[Request, Expected]] = {
    "a header of 2 MB": (get("/healthz", "X: " + "y" * 2_000_000), NOT_HTTP),
    "20,000 headers": (get("/healthz", *[f"X-{n}: y" for n in range(20_000)]), NOT_HTTP),
    "a target of 200 KB": (get("/v1/search?q=" + "a" * 200_000), NOT_HTTP),
    "a key of 1 MB": (get("/v1/models", "X-Api-Key: " + "k" * 1_000_000, key=None), NOT_HTTP),
    "a key of 20 KB": (get("/v1/models", "X-Api-Key: " + "k" * 20_000, key=None), openai(401, "invalid_api_key")),
    "a length of 100 GB": (sent("Content-Length: 100000000000"), openai(413, "too_large")),
    "a length of 5,000 digits": (sent("Content-Length: " + "9" * 5000), NOT_HTTP),
    "100 GB that wait for 100 Continue": (
        raw(head("POST", PATH, "Content-Length: 100000000000", "Expect: 100-continue")), openai(413, "too_large")
    ),
    "100 GB for Hugging Face's path": (sent("Content-Length: 100000000000", path="/models/clip"), hugging_face(413)),
    "100 GB for TEI's path": (sent("Content-Length: 100000000000", path="/embed"), tei(413, "validation")),
    "chunks beyond the limit": (
        raw(head("POST", PATH, CHUNKED), *[b"100000\r\n" + bytes(1_048_576) + b"\r\n"] * 13, "0\r\n\r\n"),
        openai(413, "too_large"),
    ),
    "10,000 chunks of one byte": (sent(CHUNKED, body="1\r\n[\r\n" * 10_000 + "0\r\n\r\n"), openai(400)),
}  # fmt: skip
AMBIGUOUS: dict[str, tuple[Request, Expected]] = {
    # A proxy that reads the length sees one request more, or one less.
    "a length beside chunks": (kept(LENGTH, CHUNKED, body=CHUNK), openai(400)),
    "a length that ends before the chunks": (kept("Content-Length: 5", CHUNKED, body=NO_CHUNK + SMUGGLED), openai(400)),
    "a length behind the chunks": (kept(CHUNKED, "Content-Length: 5", body=NO_CHUNK + SMUGGLED), openai(400)),
    "a request in the body of a refused one": (
        kept(f"Content-Length: {len(SMUGGLED)}", body=SMUGGLED, key=None), openai(401, "invalid_api_key")
    ),
    "the preface of HTTP/2": (raw("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), openai(401, "invalid_api_key")),
    "bare line feeds": (raw(head("GET", "/v1/models", key=None).replace("\r\n", "\n")), openai(401, "invalid_api_key")),
    "a folded key": (get("/v1/models", "X-Api-Key: a\r\n b", key=None), openai(401, "invalid_api_key")),
    "an absolute target": (get("http://127.0.0.2/v1/models"), openai(404, "unknown_path")),
    "an absolute target without a key": (get("http://127.0.0.2/healthz", key=None), openai(401, "invalid_api_key")),
    "CONNECT": (bare("CONNECT", "127.0.0.2:443"), openai(404, "unknown_path")),
    "OPTIONS *": (bare("OPTIONS", "*"), openai(404, "unknown_path")),
    "an upgrade to WebSocket": (
        get("/v1/search/live", "Connection: upgrade", "Upgrade: websocket"), openai(404, "unknown_path")
    ),
    "an upgrade to HTTP/2": (
        get("/v1/models", "Connection: upgrade", "Upgrade: h2c", key=None), openai(401, "invalid_api_key")
    ),
}  # fmt: skip
# All at once. The connection that stays open is closed after a while, if nothing in the body was read as a request.
SLOW: dict[str, tuple[Request, Expected]] = {
    "says nothing": (raw(), CLOSED),
    "half a head": (raw("POST /v1/embed"), CLOSED),
    "a head without its end": (raw("GET /healthz HTTP/1.1\r\nHost: localhost\r\n"), CLOSED),
    "drips headers": (dripped("GET /healthz HTTP/1.1\r\nHost: localhost\r\n", "X: y\r\n"), CLOSED),
    "half a body": (sent("Content-Length: 100"), openai(408, "slow_body")),
    "no body": (sent("Content-Length: 100", body=""), openai(408, "slow_body")),
    "no body that was asked for": (sent(LENGTH, "Expect: 100-continue", body=""), openai(408, "slow_body")),
    "drips a body": (dripped(head("POST", PATH, "Content-Length: 100"), "x"), openai(408, "slow_body")),
    "drips chunks": (dripped(head("POST", PATH, CHUNKED), "1\r\n[\r\n"), openai(408, "slow_body")),
    "drips the size of a chunk": (dripped(head("POST", PATH, CHUNKED), "0"), openai(408, "slow_body")),
    "half a body for Hugging Face's path": (sent("Content-Length: 100", path="/models/clip"), hugging_face(408)),
    "half a body for TEI's path": (sent("Content-Length: 100", path="/embed"), tei(408, "validation")),
    "closes its half in the head": (raw("GET /healthz HTTP/1.1\r\nHost: loc", None), CLOSED),
    "closes its half in the body": (raw(head("POST", PATH, "Content-Length: 100") + JSON, None), CLOSED),
    "closes its half in a chunk": (raw(head("POST", PATH, CHUNKED) + "64\r\n" + JSON, None), CLOSED),
    "drips a refused body": (
        dripped(head("POST", PATH, "Content-Length: 100", key=None), "x"), openai(401, "invalid_api_key")
    ),
    "a request in the body of GET": (
        raw(head("GET", "/v1/images/nobody", f"Content-Length: {len(SMUGGLED)}", connection="keep-alive") + SMUGGLED),
        openai(404, "image_not_found"),
    ),
    "half of an image": (
        raw(head("PUT", "/v1/images/slow", "Content-Length: 5000") + "\xff\xd8\xff"), openai(408, "slow_body")
    ),
}  # fmt: skip
