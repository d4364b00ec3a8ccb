"""JSON bodies that are malformed, too deep, too long, or of the wrong types."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from tests.hostile.api_expected import Expected, hugging_face, openai, tei
from tests.hostile.api_http import post, upload
from tests.support.pictures import small_jpeg

if TYPE_CHECKING:
    from tests.hostile.api_http import Request

PATH = "/v1/embeddings"
LISTS = "[" * 10_000 + "]" * 10_000
OBJECTS = '{"a":' * 10_000 + "1" + "}" * 10_000
JPEG_URI = "data:image/jpeg;base64," + base64.b64encode(small_jpeg()).decode()
TOO_LONG = "data:image/jpeg;base64," + base64.b64encode(b"\xff\xd8\xff" + bytes(8 * 1024**2)).decode()
TOO_MANY = openai(413, "too_large", None)
NO_JSON = openai(400, "invalid_request", None)
BAD_INPUT = openai(400, "invalid_request", "input")


def embed(body: Any, param: str | None = "input", code: str = "invalid_request") -> tuple[Request, Expected]:
    """Return a request for vectors, and the error that names `param`."""
    return post(PATH, body), openai(400, code, param)


def field(value: Any, **fields: Any) -> tuple[Request, Expected]:
    """Return a request for the vector of `value`, and the error that names the other field."""
    [name] = fields
    return embed({"input": value, **fields}, name)


def infer(body: Any, words: str) -> tuple[Request, Expected]:
    """Return a request to Hugging Face's path, and its error."""
    return post("/models/clip", body), hugging_face(400, words)


def tei_embed(body: Any, status: int, error_type: str) -> tuple[Request, Expected]:
    """Return a request to TEI's path, and its error."""
    return post("/embed", body), tei(status, error_type)


MALFORMED: dict[str, tuple[Request, Expected]] = {
    "an empty body": embed("", None),
    "half a body of JSON": embed('{"input": "a c', None),
    "two bodies": embed('{"input": "a"}{"input": "b"}', None),
    "null": embed("null", None),
    "a list": embed("[]", None),
    "a string": embed('"a cat"', None),
    "bytes that are no UTF-8 in JSON": (upload("POST", PATH, b'{"input": "\xff\xfe"}'), NO_JSON),
    "10,000 nested lists": embed(LISTS, None),
    "10,000 nested lists as input": embed(f'{{"input": {LISTS}}}', None),
    "900 nested lists as input": embed('{"input": ' + "[" * 900 + "]" * 900 + "}", "input[0]"),
    "10,000 nested objects": embed(OBJECTS, None),
    "a number of 5,000 digits": embed('{"input": ' + "9" * 5000 + "}", None),
    "a number of 300 digits": embed(
        '{"input": "a", "dimensions": ' + "9" * 300 + "}", "dimensions", "dimensions_unsupported"
    ),
    "NaN": embed('{"input": "a", "dimensions": NaN}', "dimensions"),
    "Infinity": embed('{"input": "a", "dimensions": Infinity}', "dimensions"),
    "1e999": embed('{"input": "a", "dimensions": 1e999}', "dimensions"),
    "a key twice": embed('{"input": "a cat", "input": []}'),
    "4,000,000 empty lists": (post(PATH, '{"input": [' + "[]," * 4_000_000 + "[]]}"), TOO_MANY),
    "4,000,000 empty objects": (post(PATH, " " * 99 + "[" + "{}," * 4_000_000 + "{}]"), TOO_MANY),
    "2,000,000 empty lists in UTF-16": (
        upload("POST", PATH, lambda: ("[" + "[]," * 2_000_000 + "[]]").encode("utf-16")), TOO_MANY
    ),
    "10,000,000 labels": (
        post("/models/clip", {"inputs": JPEG_URI, "parameters": {"candidate_labels": "," * 10_000_000}}),
        hugging_face(413, "values"),
    ),
    "a form": (upload("POST", PATH, b"input=a+cat", "Content-Type: application/x-www-form-urlencoded"), NO_JSON),
    "a form with parts": (
        upload("POST", PATH, b"--x\r\n\r\na\r\n--x--", "Content-Type: multipart/form-data; boundary=x"), openai(400)
    ),
    "JSON that says it is a text": (upload("POST", PATH, b'{"input": "a"}', "Content-Type: text/plain"), openai(400)),
    "compressed JSON": (upload("POST", PATH, b"\x1f\x8b" + bytes(99), "Content-Encoding: gzip"), NO_JSON),
    "10,000 nested lists for Hugging Face's path": infer(LISTS, "JSON"),
    "10,000 nested lists for TEI's path": tei_embed(LISTS, 400, "validation"),
    "10,000 nested lists as a filter": (post("/v1/search", f'{{"text": "a", "filter": {LISTS}}}'), NO_JSON),
}  # fmt: skip
TYPES: dict[str, tuple[Request, Expected]] = {
    "no input": embed({"model": "clip"}),
    "null as input": embed({"input": None}),
    "a number as input": embed({"input": 7}),
    "true as input": embed({"input": True}),
    "an empty text": embed({"input": ""}),
    "white space": embed({"input": " \t\n"}),
    "an empty list": embed({"input": []}),
    "an empty text in a list": embed({"input": ["a", ""]}, "input[1]"),
    "null in a list": embed({"input": ["a", None]}, "input[1]"),
    "a lone surrogate": embed('{"input": "\\ud800"}'),
    "tokens": embed({"input": [101, 2009]}, "input", "token_arrays_unsupported"),
    "lists of tokens": embed({"input": [[101], [2009]]}, "input", "token_arrays_unsupported"),
    "an object without a known key": embed({"input": [{"video": "a"}]}, "input[0]"),
    "an object with two inputs": embed({"input": {"text": "a", "url": "http://a.example/"}}),
    "an operator as input": embed({"input": {"$gt": ""}}),
    "a list as text": embed({"input": [{"text": ["a"]}]}, "input[0].text"),
    "100,000 inputs": embed({"input": ["a"] * 100_000}),
    "33 inputs": embed({"input": ["a"] * 33}),
    "17 images": embed({"input": [JPEG_URI] * 17}),
    "a text of 8,193 characters": embed({"input": "a" * 8193}),
    "a text of 5 MB": embed({"input": "a " * 2_500_000}),
    "a text beyond the context": embed({"input": "a " * 99, "truncate": False}, "input", "text_too_long"),
    "an image of 8 MiB and 3 bytes": (post(PATH, {"input": TOO_LONG}), openai(413, "too_large", "input")),
    "a text as image": embed({"input": "a cat", "modality": "image"}),
    "a data URI of HTML": embed({"input": "data:text/html;base64,PGI+", "modality": "image"}),
    "a data URI of SVG": embed({"input": "data:image/svg+xml;base64,PHN2Zz4="}),
    "a data URI of 1,000 parameters": embed({"input": JPEG_URI.replace(";", ";a=b" * 1000 + ";"), "modality": "image"}),
    "a data URI of nothing": embed({"input": "data:image/png;base64,"}),
    "a number as model": field("a", model=7),
    "an empty model": field("a", model=""),
    "a model of 1 MB": field("a", model="m" * 1_000_000),
    "an unknown model": (post(PATH, {"input": "a", "model": "gpt-4"}), openai(404, "model_not_found", "model")),
    "a path as model": (post(PATH, {"input": "a", "model": "../../x"}), openai(404, "model_not_found", "model")),
    "a lone surrogate as model": (post(PATH, '{"input": "a", "model": "\\ud800"}'), openai(400, param="model")),
    "an unknown modality": field("a", modality="video"),
    "an unknown encoding": field("a", encoding_format="pickle"),
    "a text as dimensions": field("a", dimensions="512"),
    "negative dimensions": field("a", dimensions=-1),
    "half a dimension": field("a", dimensions=0.5),
    "other dimensions": embed({"input": "a", "dimensions": 3}, "dimensions", "dimensions_unsupported"),
    "a word as truncate": field("a", truncate="yes"),
    "no inputs for Hugging Face": infer({"input": "a"}, "inputs"),
    "a list for Hugging Face": infer(["a"], "inputs"),
    "33 inputs for Hugging Face": infer({"inputs": ["a"] * 33}, "33"),
    "a number for Hugging Face": infer({"inputs": 7}, "inputs"),
    "a list as parameters": infer({"inputs": "a", "parameters": []}, "parameters"),
    "a word as options": infer({"inputs": "a", "options": "x"}, "options"),
    "a list as modality": infer({"inputs": "a", "parameters": {"modality": ["x"]}}, "modality"),
    "a word as normalize": infer({"inputs": "a", "parameters": {"normalize": "no"}}, "normalize"),
    "a word as dimensions": infer({"inputs": "a", "parameters": {"dimensions": "x"}}, "dimensions"),
    "no labels": infer({"inputs": JPEG_URI, "parameters": {"candidate_labels": []}}, "candidate_labels"),
    "numbers as labels": infer({"inputs": JPEG_URI, "parameters": {"candidate_labels": [1]}}, "candidate_labels"),
    "a surrogate as label": infer({"inputs": JPEG_URI, "parameters": {"candidate_labels": ["\ud800"]}}, "Unicode"),
    "a template without a place": infer(
        {"inputs": JPEG_URI, "parameters": {"candidate_labels": ["a"], "hypothesis_template": "{0.__class__}"}},
        "hypothesis_template",
    ),
    # Each place is replaced by the label: 300 MB.
    "a template of 300,000 places": infer(
        {"inputs": JPEG_URI, "parameters": {"candidate_labels": ["a" * 1000], "hypothesis_template": "{}" * 300_000}},
        "hypothesis_template",
    ),
    "a label of 1,001 characters": infer(
        {"inputs": JPEG_URI, "parameters": {"candidate_labels": ["a" * 1001]}}, "candidate_labels"
    ),
    "an unknown model of Hugging Face": (post("/models/x%2e%2e", {"inputs": "a"}), hugging_face(404, "not served")),
    "an empty text for TEI": tei_embed({"inputs": [""]}, 400, "empty"),
    "a number for TEI": tei_embed({"inputs": 7}, 422, "validation"),
    "an object for TEI": tei_embed({"inputs": [{"$gt": ""}]}, 422, "validation"),
    "33 texts for TEI": tei_embed({"inputs": ["a"] * 33}, 413, "validation"),
    "a long text for TEI": tei_embed({"inputs": "a " * 99}, 413, "validation"),
}
