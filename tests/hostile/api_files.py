"""Images that are bombs, broken or no images, and URLs that lead to blocked places."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.hostile import builders as b
from tests.hostile.api_expected import SIGNATURE, Expected, hugging_face, openai
from tests.hostile.api_http import IMAGES, post, upload
from tests.hostile.shapes import apng, cut, gif, progressive, sample
from tests.support.servers import Answer

if TYPE_CHECKING:
    from tests.hostile.api_http import Request

LIMIT = 8 * 1024**2
Content = Callable[[], bytes] | bytes
HTML = b"<!DOCTYPE html><html><script>alert(1)</script></html>"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script><image href="http://169.254.169.254/"/></svg>'


def png_bomb() -> bytes:
    return b.png(b.png_header(60_000, 60_000, 1, 0), rows=bytes(7501 * 1000))


def tiff_bomb() -> bytes:
    return b.tiff_picture(60_000, 60_000, bytes(64), compression=8)


def put(content: Content, status: int, code: str, *headers: str) -> tuple[Request, Expected]:
    """Return the upload of a file, and its error."""
    return upload("PUT", "/v1/images/bomb", content, *headers), openai(status, code, "body")


def inferred(content: Content, status: int, words: str, *headers: str) -> tuple[Request, Expected]:
    """Return the upload of a file to Hugging Face's path, and its error."""
    return upload("POST", "/models/clip", content, *headers), hugging_face(status, words)


def embedded(content: bytes, code: str) -> tuple[Request, Expected]:
    """Return a request for the vector of a file in base64, and its error."""
    body = {"input": ["a cat", {"bytes": base64.b64encode(content).decode()}]}
    return post("/v1/embeddings", body), openai(422, code, "input[1]")


FILES: dict[str, tuple[Request, Expected]] = {
    "no bytes": put(b"", 400, "invalid_request"),
    "one byte": put(b"\xff", 400, "invalid_request"),
    "8 MiB and one byte": put(lambda: b"\xff\xd8\xff" + bytes(LIMIT - 2), 413, "too_large"),
    "a file of 13 MB": (upload("PUT", "/v1/images/bomb", bytes(13_000_000)), openai(413, "too_large", None)),
    "HTML": put(HTML, 400, "invalid_request"),
    "HTML that says it is a JPEG": put(HTML, 400, "invalid_request", "Content-Type: image/jpeg"),
    "an SVG with scripts": put(SVG, 400, "invalid_request", "Content-Type: image/svg+xml"),
    "a PDF with a JPEG": put(lambda: b"%PDF-1.7\n" + sample("JPEG"), 400, "invalid_request"),
    "a JPEG in a form": put(
        lambda: b"--x\r\n\r\n" + sample("JPEG"), 400, "invalid_request", "Content-Type: multipart/form-data; boundary=x"
    ),
    "a JPEG in gzip": put(b"\x1f\x8b\x08" + bytes(99), 400, "invalid_request", "Content-Encoding: gzip"),
    "a script that starts like a GIF": put(b"GIF89a/*" + bytes(9) + b"*/=1;alert(1)", 422, "corrupt_image"),
    "HTML that starts like a JPEG": put(b"\xff\xd8\xff\xe0" + HTML, 422, "corrupt_image"),
    "the beginning of a JPEG": put(lambda: cut("JPEG"), 422, "corrupt_image"),
    "a JPEG without its end": put(lambda: cut("JPEG", 0.9), 422, "corrupt_image"),
    "a PNG that is cut": put(lambda: cut("PNG"), 422, "corrupt_image"),
    "a HEIC that is cut": put(lambda: cut("HEIF"), 422, "corrupt_image"),
    "a PNG bomb": put(png_bomb, 422, "too_many_pixels"),
    "a TIFF bomb": put(tiff_bomb, 422, "too_many_pixels"),
    "a GIF bomb": put(lambda: gif(size=(65_535, 65_535)), 422, "too_many_pixels"),
    "a PNG whose only frame is missing": put(lambda: apng(1), 422, "corrupt_image"),
    "a JPEG of 410 scans": put(lambda: progressive(410), 422, "too_many_scans"),
    "a PNG of 10,000 frames": put(lambda: apng(10_000), 422, "too_many_frames"),
    "a PNG bomb for Hugging Face's path": inferred(png_bomb, 422, "pixels"),
    "a JPEG of 410 scans for Hugging Face's path": inferred(lambda: progressive(410), 422, "scans"),
    "HTML for Hugging Face's path": inferred(HTML, 400, "neither", "Content-Type: image/png"),
    "no bytes for Hugging Face's path": inferred(b"", 400, "neither"),
    "8 MiB and one byte for Hugging Face's path": inferred(lambda: b"\xff\xd8\xff" + bytes(LIMIT - 2), 413, "8388608"),
    "a PNG bomb in base64": embedded(png_bomb(), "too_many_pixels"),
    "a cut JPEG in base64": embedded(cut("JPEG"), "corrupt_image"),
    "a PNG bomb as search": (
        post("/v1/search", {"image": {"bytes": base64.b64encode(png_bomb()).decode()}}),
        openai(422, "too_many_pixels", "image"),
    ),
}


def fetched(url: str, code: str, status: int = 422) -> tuple[Request, Expected]:
    """Return a request for the vector of the image at a URL, and its error."""
    body = {"input": f"{url}?sig={SIGNATURE}", "modality": "image"}
    return post("/v1/embeddings", body), openai(status, code, "input")


def everywhere(url: str, name: str, code: str, words: str) -> dict[str, tuple[Request, Expected]]:
    """Return requests that send a URL to the other routes that fetch images."""
    signed = f"{url}?sig={SIGNATURE}"
    return {
        f"{name}, for Hugging Face's path": (post("/models/clip", {"inputs": signed}), hugging_face(422, words)),
        f"{name}, as search": (post("/v1/search", {"image": signed}), openai(422, code, "image")),
        f"{name}, as object": (
            post("/v1/embeddings", {"input": [{"image": signed}]}), openai(422, code, "input[0]")
        ),
    }  # fmt: skip


BLOCKED = "blocked_address"
METADATA = "http://169.254.169.254/latest/meta-data/"
SERVED = {
    "/to-metadata": Answer(b"", 302, {"Location": METADATA}),
    "/to-loopback": Answer(b"", 302, {"Location": "http://127.0.0.2/"}),
    "/to-file": Answer(b"", 302, {"Location": "file:///etc/passwd"}),
    "/to-gopher": Answer(b"", 302, {"Location": "gopher://127.0.0.1:6379/_FLUSHALL"}),
    "/to-itself": Answer(b"", 302, {"Location": "/to-itself"}),
    "/page": Answer(HTML, 200, {"Content-Type": "text/html"}),
    "/empty": Answer(b""),
    "/half": Answer(cut("JPEG"), 200, {"Content-Type": "image/jpeg"}),
    "/html-as-jpeg": Answer(HTML, 200, {"Content-Type": "image/jpeg"}),
}
ENQUEUED: dict[str, Any] = {
    "the metadata service": METADATA,
    "loopback in IPv6": "http://[::1]/",
    "loopback in decimal": "http://2130706434/",
    "a redirect to the metadata service": f"{IMAGES}/to-metadata",
}
URLS: dict[str, tuple[Request, Expected]] = {
    "the metadata service": fetched(METADATA, BLOCKED),
    "loopback in IPv6": fetched("http://[::1]/", BLOCKED),
    "loopback in decimal": fetched("http://2130706434/", BLOCKED),
    "loopback in octal": fetched("http://0177.0.0.02/", BLOCKED),
    "loopback in IPv4 in IPv6": fetched("http://[::ffff:127.0.0.2]/", BLOCKED),
    "any address": fetched("http://0.0.0.0/", BLOCKED),
    "a private network": fetched("http://10.0.0.1/", BLOCKED),
    "a redirect to the metadata service": fetched(f"{IMAGES}/to-metadata", BLOCKED),
    "a redirect to loopback": fetched(f"{IMAGES}/to-loopback", BLOCKED),
    "a redirect to a file": fetched(f"{IMAGES}/to-file", "bad_redirect"),
    "a redirect to gopher": fetched(f"{IMAGES}/to-gopher", "bad_redirect"),
    "a redirect to itself": fetched(f"{IMAGES}/to-itself", "bad_redirect"),
    "a page": fetched(f"{IMAGES}/page", "html_page"),
    "nothing": fetched(f"{IMAGES}/empty", "empty_body"),
    "half of a JPEG": fetched(f"{IMAGES}/half", "corrupt_image"),
    "a page that says it is a JPEG": fetched(f"{IMAGES}/html-as-jpeg", "html_page"),
    "no such image": fetched(f"{IMAGES}/nowhere", "http_404"),
    "no such server": fetched("http://127.0.0.1:1/", BLOCKED),
    "a file": fetched("file:///etc/passwd", "invalid_request", 400),
    "gopher": fetched("gopher://127.0.0.1:6379/_FLUSHALL", "invalid_request", 400),
    "javascript": fetched("javascript:alert(1)", "invalid_request", 400),
    "a password in a URL": fetched("http://user:deadbeef@127.0.0.1/", "invalid_request", 400),
    "a zone id": fetched("http://[fe80::1%25eth0]/", "invalid_request", 400),
    "a malformed host": fetched("http://[::1", "invalid_request", 400),
    "a line feed in a URL": fetched("http://127.0.0.1/\r\nX: y", "invalid_request", 400),
    "a URL of 9,000 characters": fetched("http://127.0.0.1/" + "x" * 9000, "invalid_request", 400),
    **everywhere(METADATA, "the metadata service", BLOCKED, "169.254.169.254"),
    **everywhere(f"{IMAGES}/to-metadata", "a redirect to the metadata service", BLOCKED, "169.254.169.254"),
    "a job without a scheme": (post("/v1/images", {"url": "//127.0.0.1/"}), openai(400, param="url")),
    "a job for a file": (post("/v1/images", {"url": "file:///etc/passwd"}), openai(400, param="url")),
    "a job for gopher": (post("/v1/images", {"url": "gopher://127.0.0.1:6379/_FLUSHALL"}), openai(400, param="url")),
    "a job with a password": (post("/v1/images", {"url": "http://a:deadbeef@b.example/"}), openai(400, param="url")),
    "a job without a URL": (post("/v1/images", {"id": "a"}), openai(400, param="url")),
    "a number as URL": (post("/v1/images", {"url": 7}), openai(400, param="url")),
    "a URL and a list": (
        post("/v1/images", {"url": METADATA, "images": [{"url": METADATA}]}),
        openai(400, param="url"),
    ),
    "a word as force": (post("/v1/images", {"url": METADATA, "force": "yes"}), openai(400, param="force")),
    "one bad job of two": (
        post("/v1/images", {"images": [{"id": "good", "url": METADATA}, {"url": "file:///a"}]}),
        openai(400, param="images[1].url"),
    ),
    "no jobs": (post("/v1/images", {"images": []}), openai(400, param="images")),
    "501 jobs": (post("/v1/images", {"images": [{"url": METADATA}] * 501}), openai(400, param="images")),
}
