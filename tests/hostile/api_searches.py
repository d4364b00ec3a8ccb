"""Searches with hostile filters, cursors and parts. The declared fields are `FIELDS`."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tests.hostile.api_expected import Expected, openai
from tests.hostile.api_http import get, post

if TYPE_CHECKING:
    from tests.hostile.api_http import Request

PATH = "/v1/search"
FIELDS = "album,taken_at,camera.model"
SCRIPT = "function() { return true }"


def found_by(**parts: Any) -> Request:
    """Return a search for a text with these other parts."""
    return post(PATH, {"text": "a cat", **parts})


def refused(param: str | None = None, **parts: Any) -> tuple[Request, Expected]:
    """Return a search, and the error that names `param`, or else the one part that is given."""
    return found_by(**parts), openai(400, "invalid_request", param or next(iter(parts)))


def filtered(where: Any, param: str = "") -> tuple[Request, Expected]:
    """Return a search with this filter, and the error that names its wrong part."""
    return refused("filter" + param, filter=where)


def avoiding(one: Any, param: str = "not") -> tuple[Request, Expected]:
    """Return a search for what does not resemble `one`, and its error."""
    return post(PATH, {"text": "a cat", "not": one}), openai(400, "invalid_request", param)


def nested(depth: int) -> Any:
    """Return a filter in this many levels of `$and`."""
    return {"album": "a"} if depth == 1 else {"$and": [nested(depth - 1)]}


def cursor(*content: Any) -> tuple[Request, Expected]:
    """Return a search with a cursor of this content."""
    return coded(base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("="))


def coded(text: str) -> tuple[Request, Expected]:
    """Return a search with this cursor."""
    return refused("cursor", cursor=text)


FILTERS: dict[str, tuple[Request, Expected]] = {
    "$where": filtered({"$where": SCRIPT}, ".$where"),
    "$expr": filtered({"$expr": {"$gt": ["$embedding_job.url", ""]}}, ".$expr"),
    "$function": filtered({"$expr": {"$function": {"body": SCRIPT, "args": [], "lang": "js"}}}, ".$expr"),
    "$jsonSchema": filtered({"$jsonSchema": {"required": ["secret"]}}, ".$jsonSchema"),
    "$text": filtered({"$text": {"$search": "a"}}, ".$text"),
    "$comment": filtered({"$comment": "a"}, ".$comment"),
    "$regex": filtered({"album": {"$regex": "(a+)+$"}}, ".album.$regex"),
    "$options": filtered({"album": {"$options": "i"}}, ".album.$options"),
    "$where inside": filtered({"$or": [{"album": "a"}, {"$where": SCRIPT}]}, ".$or[1].$where"),
    "$regex behind $not": filtered({"album": {"$not": {"$regex": "a"}}}, ".album.$not.$regex"),
    "$elemMatch": filtered({"album": {"$elemMatch": {"$gt": "a"}}}, ".album.$elemMatch"),
    "$type": filtered({"album": {"$type": 2}}, ".album.$type"),
    "$mod": filtered({"album": {"$mod": [0, 0]}}, ".album.$mod"),
    "an undeclared field": filtered({"secret": "a"}, ".secret"),
    "the vector": filtered({"embedding": 1}, ".embedding"),
    "the record of the job": filtered({"embedding_job.url": {"$gt": ""}}, ".embedding_job.url"),
    "below a declared field": filtered({"album.owner": "a"}, ".album.owner"),
    "above a declared field": filtered({"camera": {"model": "a"}}, ".camera"),
    "an index of a declared field": filtered({"album.0": "a"}, ".album.0"),
    "__proto__": filtered({"__proto__": {"admin": True}}, ".__proto__"),
    "constructor": filtered({"constructor": {"prototype": 1}}, ".constructor"),
    "an empty name": filtered({"": 1}, "."),
    "a null character in a name": (found_by(filter={"album\0": 1}), openai(400)),
    "a lone surrogate in a name": (post(PATH, '{"text": "a", "filter": {"\\ud800": 1}}'), openai(400)),
    "a name of 1 MB": (found_by(filter={"x" * 1_000_000: 1}), openai(400)),
    "a name of 50,000 URLs": (found_by(filter={"http://" * 50_000: 1}), openai(400)),
    "a name of control characters": (found_by(filter={"\x1b[2J\r\n": 1}), openai(400)),
    "five levels": filtered(nested(5), ".$and[0].$and[0].$and[0].$and[0]"),
    "a thousand levels": filtered('{"text": "a", "filter": ' + '{"$and":[' * 400 + "]}" * 400 + "}"),
    "33 comparisons": filtered({"$or": [{"album": str(number)} for number in range(33)]}),
    "33 comparisons behind operators": filtered({"$nor": [{"album": {"$gt": "a", "$lt": "b", "$ne": "c"}}] * 11}),
    "100,000 comparisons": filtered({"$or": [{"album": "a"}] * 100_000}),
    "257 values": filtered({"album": {"$in": [str(number) for number in range(257)]}}, ".album.$in"),
    "no values": filtered({"album": {"$in": []}}, ".album.$in"),
    "values of two types": filtered({"album": {"$in": ["a", 1]}}, ".album.$in"),
    "a value of 1,025 characters": filtered({"album": "x" * 1025}, ".album"),
    "a lone surrogate as value": filtered({"album": "\ud800"}, ".album"),
    "a date that is none": filtered({"taken_at": {"$gte": {"$date": "x"}}}, ".taken_at.$gte"),
    "a date of the year 10000": filtered({"taken_at": {"$date": 10**15}}, ".taken_at"),
    "a date of an object": filtered({"taken_at": {"$date": {"$numberLong": "1"}}}, ".taken_at"),
    "a date and an operator": filtered({"taken_at": {"$date": "2026-01-01", "$ne": 1}}, ".taken_at"),
    "an ObjectId that is none": filtered({"album": {"$oid": "zz"}}, ".album"),
    "an integer that is none": filtered({"album": {"$numberLong": "5.5"}}, ".album"),
    "a UUID that is none": filtered({"album": {"$eq": {"$uuid": "zz"}}}, ".album.$eq"),
    "a code": filtered({"album": {"$eq": {"$code": SCRIPT}}}, ".album.$eq"),
    "a number of 20 digits": filtered({"album": 10**20}, ".album"),
    "infinity in a filter": (post(PATH, '{"text": "a", "filter": {"album": 1e999}}'), openai(400)),
    "null in a range": filtered({"album": {"$gt": None}}, ".album.$gt"),
    "a word for $exists": filtered({"album": {"$exists": "yes"}}, ".album.$exists"),
    "no operator": filtered({"album": {}}, ".album"),
    "a list as filter": filtered([{"album": "a"}]),
    "a text as filter": filtered("album"),
    "no members": filtered({"$and": []}, ".$and"),
    "an object as members": filtered({"$and": {"album": "a"}}, ".$and"),
    "a filter in the URL that is no JSON": (get(PATH + "?q=a&filter=album"), openai(400)),
    "a list in the URL": (get(PATH + "?q=a&filter=" + quote('[{"album":"a"}]')), openai(400, param="filter")),
    "nested lists in the URL": (get(PATH + "?q=a&filter=" + "[" * 9000), openai(400)),
    "$where in the URL": (get(PATH + "?q=a&filter=" + quote('{"$where":"1"}')), openai(400, param="filter.$where")),
}
PARTS: dict[str, tuple[Request, Expected]] = {
    "a cursor that is no base64": coded("!!!"),
    "a cursor beyond ASCII": coded("\u2603"),
    "a cursor of nothing": coded(base64.urlsafe_b64encode(b"[]").decode()),
    "a cursor of nested lists": coded(base64.urlsafe_b64encode(b"[" * 5000).decode()),
    "a cursor of 10 KB": coded("A" * 10_000),
    "a cursor of another search": cursor(24, "0" * 16, "fake/model", 0.5, "a"),
    "a huge offset": cursor(10**18, "0" * 16, "fake/model", 0.5, "a"),
    "a negative offset": cursor(-1, "0" * 16, "fake/model", 0.5, "a"),
    "NaN in a cursor": cursor(24, "0" * 16, "fake/model", float("nan"), "a"),
    "an operator in a cursor": cursor(24, "0" * 16, "fake/model", 0.5, {"$gt": ""}),
    "a pickle as cursor": coded(base64.urlsafe_b64encode(b"cos\nsystem\n(S'id'\ntR.").decode()),
    "a number as cursor": refused(cursor=7),
    "nothing to search for": (post(PATH, {}), openai(400, param="text")),
    "an empty text to search for": refused(text=""),
    "a text of 8,193 characters to search for": refused(text="a" * 8193),
    "a lone surrogate to search for": refused(text="\ud800"),
    "a null character to search for": refused(text="a\0b"),
    "a number to search for": refused(text=7),
    "no limit": refused(limit=0),
    "a limit of 1,001": refused(limit=1001),
    "a text as limit": refused(limit="24"),
    "a huge limit in the URL": (get(PATH + "?q=a&limit=" + "9" * 40), openai(400, param="limit")),
    "a score of 2": refused(min_score=2),
    "NaN as score": (post(PATH, '{"text": "a", "min_score": NaN}'), openai(400, param="min_score")),
    "NaN as score in the URL": (get(PATH + "?q=a&min_score=nan"), openai(400, param="min_score")),
    "a huge weight": refused("weights.text", weights={"text": 1e9}),
    "a list as weights": refused(weights=[1]),
    "weights of nothing": (found_by(weights={"text": 0}), openai(400)),
    "parts that cancel each other out": (
        post(PATH, {"text": "a", "not": "a", "weights": {"not": 1}}),
        openai(400, param="weights"),
    ),
    "an unknown image": (post(PATH, {"like": "nobody"}), openai(404, "image_not_found", "like")),
    "an unknown image in the URL": (get(PATH + "?like=%24where"), openai(404, "image_not_found", "like")),
    "an operator as image": (post(PATH, {"like": {"$gt": ""}}), openai(400, param="like")),
    "an ObjectId of 5 digits": (post(PATH, {"like": {"$oid": "65f0c"}}), openai(400, param="like")),
    "an unknown integer as image": (post(PATH, {"like": 5}), openai(404, "image_not_found", "like")),
    "a fraction as image": (post(PATH, {"like": 5.5}), openai(400, param="like")),
    "a UUID of 5 digits": (post(PATH, {"like": {"$uuid": "123e4"}}), openai(400, param="like")),
    "17 images to resemble": (post(PATH, {"like": ["a"] * 17}), openai(400, param="like")),
    "a null character in an id to resemble": (post(PATH, {"like": "a\0b"}), openai(400, param="like")),
    "17 texts to avoid": avoiding(["a"] * 17),
    "an operator to avoid": avoiding({"$ne": 1}),
    "an empty text to avoid": avoiding([""], "not[0]"),
    "undeclared fields": refused(fields=["embedding_job.url"]),
    "an undeclared field in the URL": (get(PATH + "?q=a&fields=embedding"), openai(400, param="fields")),
    "33 fields": refused(fields=["album"] * 33),
    "an unknown model to search": (found_by(model="gpt-4"), openai(404, "model_not_found", "model")),
    "a number as exact": refused(exact=1),
    "an image of two kinds": (post(PATH, {"image": {"url": "http://a.example/", "bytes": "aa"}}), openai(400)),
    "an image that is a text": (post(PATH, {"image": {"text": "a cat"}}), openai(400, param="image")),
    "an unknown threshold": (get("/v1/duplicates?threshold=0.1"), openai(400, param="threshold")),
    "NaN as threshold": (get("/v1/duplicates?threshold=nan"), openai(400, param="threshold")),
    "a million groups": (get("/v1/duplicates?limit=1000000"), openai(400, param="limit")),
}
