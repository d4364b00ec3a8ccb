"""Requests with hostile ids, paths, methods and keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.hostile.api_expected import Expected, hugging_face, openai, tei
from tests.hostile.api_http import AUTHORIZED, bare, get, post, upload
from tests.support.api import ENQUEUE_KEY, KEY, SEARCH_KEY
from tests.support.pictures import small_jpeg

if TYPE_CHECKING:
    from tests.hostile.api_http import Request

INFER = "/models/clip"
IMAGE_URL = "https://example.com/a.jpg?sig=deadbeef"
# The stored images: the name of the first has a composed letter.
STORED = ("caf\u00e9", "tea")
JPEG = small_jpeg()
ENQUEUES, SEARCHES = f"Authorization: Bearer {ENQUEUE_KEY}", f"Authorization: Bearer {SEARCH_KEY}"
UNKNOWN = openai(404, "image_not_found", "image_id")
NO_PATH = openai(404, "unknown_path", None)
NO_KEY = openai(401, "invalid_api_key", None)
NOT_ALLOWED = openai(403, "not_allowed", None)
WRONG_METHOD = openai(405, "method_not_allowed", None)


def image(target: str) -> Request:
    """Return a request for the image with this id, as it is written in the path."""
    return get("/v1/images/" + target)


def new(image_id: Any) -> Request:
    """Return a request that enqueues an image with this id."""
    return post("/v1/images", {"id": image_id, "url": IMAGE_URL})


IDS: dict[str, tuple[Request, Expected]] = {
    "..": (image(".."), UNKNOWN),
    "escaped dots and slashes": (image("%2e%2e%2f%2e%2e%2fetc%2fpasswd"), UNKNOWN),
    "dots and backslashes": (image("..%5c..%5cwin.ini"), UNKNOWN),
    "a null character in the path": (image("a%00b"), openai(400, param="image_id")),
    "a line feed in the path": (image("a%0d%0aSet-Cookie:%20a=b"), openai(400, param="image_id")),
    "1,025 characters": (image("x" * 1025), openai(400, param="image_id")),
    "$where": (image("$where"), UNKNOWN),
    "an operator in the path": (image("%7B%22$gt%22:%22%22%7D"), UNKNOWN),
    "a dotted field": (image("embedding_job.status"), UNKNOWN),
    "slashes": (image("/a//b/"), UNKNOWN),
    "no id": (image(""), openai(400, param="image_id")),
    "another normal form of a stored id": (image("cafe%CC%81"), UNKNOWN),
    "another case of a stored id": (image("Caf%C3%A9"), UNKNOWN),
    "bytes that are no UTF-8": (image("%ff%fe"), UNKNOWN),
    "escapes of escapes": (image("caf%25C3%25A9"), UNKNOWN),
    "an ObjectId of 23 digits": (image("65f0c0ffee65f0c0ffee65f?type=oid"), openai(400, param="image_id")),
    "an ObjectId of letters": (image("zzzzzzzzzzzzzzzzzzzzzzzz?type=oid"), openai(400, param="image_id")),
    "an unknown ObjectId": (image("65f0c0ffee65f0c0ffee65f0?type=oid"), UNKNOWN),
    "an unknown type": (image("a?type=float"), openai(400, param="type")),
    "an infinite wait": (image("a?wait=inf"), openai(400, param="wait")),
    "a negative wait": (image("a?wait=-1"), openai(400, param="wait")),
    "a wait of years": (image("a?wait=99999999999999999999"), openai(400, param="wait")),
    "an unknown form of a vector": (image("a?vector=xml"), openai(400, param="vector")),
    "an operator as id": (new({"$gt": ""}), openai(400, param="id")),
    "a script as id": (new({"$where": "sleep(10000)"}), openai(400, param="id")),
    "an ObjectId and an operator": (new({"$oid": "65f0c0ffee65f0c0ffee65f0", "$ne": "1"}), openai(400, param="id")),
    "a fraction as id": (new(7.5), openai(400, param="id")),
    "true as id": (new(True), openai(400, param="id")),
    "an integer of a hundred digits as id": (new(10**100), openai(400, param="id")),
    "an integer of words": (image("five?type=int"), openai(400, param="image_id")),
    "an integer beyond 64 bits": (image("9223372036854775808?type=int"), openai(400, param="image_id")),
    "an unknown integer": (image("-9223372036854775808?type=int"), UNKNOWN),
    "a UUID without hyphens": (image("123e4567e89b12d3a456426614174000?type=uuid"), openai(400, param="image_id")),
    "an unknown UUID": (image("123e4567-e89b-12d3-a456-426614174000?type=uuid"), UNKNOWN),
    "a UUID and an operator": (new({"$uuid": "x", "$gt": ""}), openai(400, param="id")),
    "a list as the text of an integer": (new({"$numberLong": ["5"]}), openai(400, param="id")),
    "a list as id": (new(["a"]), openai(400, param="id")),
    "an empty id": (new(""), openai(400, param="id")),
    "a null character in an id": (new("a\0b"), openai(400, param="id")),
    "a lone surrogate in an id": (new("a\ud800"), openai(400)),
    "a lone surrogate as a key of an id": (new({"\ud800": 7}), openai(400)),
    "an id of 1 MB": (new("x" * 1_000_000), openai(400, param="id")),
    "an upload to an id of 1,025 characters": (upload("PUT", "/v1/images/" + "x" * 1025, JPEG), openai(400)),
    "an upload to a bad ObjectId": (upload("PUT", "/v1/images/x?type=oid", JPEG), openai(400, param="image_id")),
    "a deletion of nothing": (bare("DELETE", "/v1/images/..%2f"), UNKNOWN),
    "a deletion of all": (bare("DELETE", "/v1/images/"), openai(400, param="image_id")),
    "a deletion by an operator": (bare("DELETE", "/v1/images/%7B%22$exists%22:true%7D"), UNKNOWN),
}
PATHS: dict[str, tuple[Request, Expected]] = {
    # No key: what begins with /assets/ is public, and must lead nowhere else.
    "out of the assets": (get("/assets/../v1/models", key=None), NO_PATH),
    "out of the documentation": (get("/docs/../v1/models", key=None), NO_PATH),
    "up from the assets": (get("/assets/../../settings.py", key=None), NO_PATH),
    "up from the assets, escaped": (get("/assets/%2e%2e/%2e%2e/settings.py", key=None), NO_PATH),
    "up from the assets, slashes escaped": (get("/assets/..%2f..%2fsettings.py", key=None), NO_PATH),
    "up from the assets, escaped twice": (get("/assets/%252e%252e%252fsettings.py", key=None), NO_PATH),
    "up from the assets, backslashes": (get("/assets/..%5c..%5csettings.py", key=None), NO_PATH),
    "an absolute path in the assets": (get("/assets//etc/passwd", key=None), NO_PATH),
    "the folder of the assets": (get("/assets/", key=None), NO_PATH),
    "a null character in the assets": (get("/assets/app.js%00.css", key=None), NO_PATH),
    "a name of 5,000 characters in the assets": (get("/assets/" + "a" * 5000, key=None), NO_PATH),
    "a range of 5,000 digits in the assets": (
        get("/assets/app.js", f"Range: bytes={'9' * 5000}-", key=None),
        Expected(400),
    ),
    "an upload to the assets": (upload("PUT", "/assets/app.js", b"alert(1)"), WRONG_METHOD),
    "two slashes before the path": (get("//v1/models"), NO_PATH),
    "a dot in the path": (get("/v1/./models"), NO_PATH),
    "capitals": (get("/V1/models"), NO_PATH),
    "a slash behind the path": (post("/v1/embeddings/", {"input": "a cat"}), NO_PATH),
    "a path that no route has": (get("/v1/admin"), NO_PATH),
    "git": (get("/.git/config", key=None), NO_KEY),
    "DELETE for a route of POST": (bare("DELETE", "/v1/embeddings"), WRONG_METHOD),
    "GET for a route of POST": (get("/v1/embeddings"), WRONG_METHOD),
    "TRACE": (bare("TRACE", "/v1/models"), WRONG_METHOD),
    "an unknown method": (bare("BREW", "/v1/models"), WRONG_METHOD),
    "a method in lower case": (bare("get", "/healthz"), WRONG_METHOD),
    "a method of 10 KB": (bare("X" * 10_000, "/healthz"), WRONG_METHOD),
    "POST to the health without a key": (post("/healthz", {}, key=None), NO_KEY),
    "GET for Hugging Face's path": (get("/models/clip"), hugging_face(405)),
    "DELETE for TEI's path": (bare("DELETE", "/embed"), tei(405, "validation")),
}


def key_of(*lines: str) -> Request:
    """Return a request with these lines as its key."""
    return get("/v1/models", *lines, key=None)


KEYS: dict[str, tuple[Request, Expected]] = {
    "no key": (get("/v1/models", key=None), NO_KEY),
    "a wrong key": (key_of("Authorization: Bearer both-0123456789abcdee"), NO_KEY),
    "the beginning of a key": (key_of(f"Authorization: Bearer {KEY[:-1]}"), NO_KEY),
    "more than a key": (key_of(f"{AUTHORIZED}0"), NO_KEY),
    "a key in capitals": (key_of(f"Authorization: Bearer {KEY.upper()}"), NO_KEY),
    "all keys": (key_of(f"Authorization: Bearer {KEY},{SEARCH_KEY}"), NO_KEY),
    "an empty key": (key_of("Authorization: Bearer "), NO_KEY),
    "a key without a scheme": (key_of(f"Authorization: {KEY}"), NO_KEY),
    "a key as a password": (key_of(f"Authorization: Basic {KEY}"), NO_KEY),
    "a null character behind a key": (key_of(f"{AUTHORIZED}%00"), NO_KEY),
    "two keys": (key_of(AUTHORIZED, "Authorization: Bearer both-0123456789abcdee"), NO_KEY),
    "a key with bytes beyond ASCII": (key_of("X-Api-Key: \xff\xfe"), NO_KEY),
    "a key in the query string": (get(f"/v1/models?api_key={KEY}&key={KEY}", key=None), NO_KEY),
    "a key in a cookie": (key_of(f"Cookie: x-api-key={KEY}; authorization={KEY}"), NO_KEY),
    "the name of a key": (key_of("X-Api-Key: -"), NO_KEY),
    "no key for Hugging Face's path": (post(INFER, {"inputs": "a"}, key=None), hugging_face(401, "no valid key")),
    "no key for TEI's path": (post("/embed", {"inputs": "a"}, key=None), tei(401, "validation")),
    "no key for TEI's root": (post("/", {"inputs": "a"}, key=None), tei(401, "validation")),
    "no key for an upload": (upload("PUT", "/v1/images/a", JPEG, key=None), NO_KEY),
    "a search by a key that enqueues": (get("/v1/search?q=a", key=ENQUEUES), NOT_ALLOWED),
    "a vector for a key that enqueues": (post("/v1/embeddings", {"input": "a"}, key=ENQUEUES), NOT_ALLOWED),
    "Hugging Face's path by a key that enqueues": (post(INFER, {"inputs": "a"}, key=ENQUEUES), hugging_face(403)),
    "TEI's path by a key that enqueues": (post("/embed", {"inputs": "a"}, key=ENQUEUES), tei(403, "validation")),
    "an image by a key that searches": (post("/v1/images", {"url": IMAGE_URL}, key=SEARCHES), NOT_ALLOWED),
    "an upload by a key that searches": (upload("PUT", "/v1/images/a", JPEG, key=SEARCHES), NOT_ALLOWED),
    "a deletion by a key that searches": (bare("DELETE", "/v1/images/caf%C3%A9", key=SEARCHES), NOT_ALLOWED),
    "an escaped path by a key that searches": (post("/v1/%69mages", {"url": IMAGE_URL}, key=SEARCHES), NOT_ALLOWED),
    "a deletion in disguise": (
        get("/v1/images/nobody", "X-HTTP-Method-Override: DELETE", key=SEARCHES), UNKNOWN
    ),
}  # fmt: skip
