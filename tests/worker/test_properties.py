"""Properties of the worker that hold for every address, message and file, tested with generated ones."""

from __future__ import annotations

import base64
import gzip
import ipaddress
import json
import re
import zlib
from contextlib import closing, suppress
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producer.contract.job import JOB_KEYS
from tests.hostile.corpus import SPECIMENS
from tests.support.decoding import decoder_for
from tests.support.generated import JSON
from tests.support.messages import hand_made_message
from worker.broker.scripts import LOST_HEADER
from worker.broker.validation import InvalidMessage, validate_message
from worker.errors import BadEncoding, JobError
from worker.fetch.codings import Codings
from worker.fetch.cookies import Cookies
from worker.fetch.deadline import DownloadWatchdog
from worker.fetch.dns import parse_address
from worker.fetch.guard import is_allowed
from worker.fetch.target import parse_target
from worker.header_lines import parse_header_lines
from worker.spec import PreprocessSpec

IPV4 = st.ip_addresses(v=4)
IPV6 = st.ip_addresses(v=6)
SPEC = PreprocessSpec(32, 32)


def small_files() -> st.SearchStrategy[bytes]:
    """Return one of the files that are neither large nor slow."""
    files = [one.build() for one in SPECIMENS if one.code in ("done", "corrupt_image")]
    return st.sampled_from([content for content in files if len(content) < 20_000])


@given(IPV4 | IPV6)
def test_what_is_allowed_is_public_to_python_too(address: Any) -> None:
    if is_allowed(address, ()):
        assert address.is_global
        assert not address.is_multicast


@given(IPV6)
def test_no_ipv6_address_outside_global_unicast_is_allowed(address: Any) -> None:
    if int(address) >> 125 != 1 and not address.ipv4_mapped:
        assert not is_allowed(address, ())


@given(IPV4)
def test_an_address_inside_another_is_judged_as_itself_or_refused(address: Any) -> None:
    number = int(address)
    mapped = ipaddress.IPv6Address(0xFFFF << 32 | number)
    assert is_allowed(mapped, ()) == is_allowed(address, ())
    for carrier in (
        number,  # IPv4-compatible
        0xFFFF << 48 | number,  # IPv4-translated
        0x64FF9B << 96 | number,  # NAT64
        0x2002 << 112 | number << 80,  # 6to4
        0x20010000 << 96 | (number ^ 0xFFFFFFFF),  # Teredo
        0x2A00 << 112 | 0x5EFE << 32 | number,  # ISATAP
    ):
        assert not is_allowed(ipaddress.IPv6Address(carrier), ())


@given(IPV4, st.sampled_from(["{}", "0x{:x}", "0{:o}"]), st.integers(1, 4))
def test_every_spelling_is_the_address_itself(address: Any, form: str, parts: int) -> None:
    """As inet_aton has it: one to four numbers, the last of which fills the rest."""
    packed = address.packed
    numbers = [*packed[: parts - 1], int.from_bytes(packed[parts - 1 :], "big")]
    spelled = ".".join(form.format(number) for number in numbers)
    assert parse_address(spelled) == address


COOKIE_PARTS = st.sampled_from(["a", "=", ";", " ", "Path", "/", "Domain", "test", "Max-Age", "0", "Secure", "Expires"])
COOKIE_LINES = st.lists(st.lists(COOKIE_PARTS | st.text(max_size=5), max_size=12).map("".join), max_size=5)


@given(COOKIE_LINES)
def test_any_cookie_makes_a_header_of_one_line(lines: list[str]) -> None:
    cookies = Cookies()
    target = parse_target("https://a.test/b/c")
    cookies.keep(target, lines)
    header = cookies.header(target)
    assert not set("\r\n\0") & set(header)
    assert header == header.strip(" \t")
    assert not cookies.header(parse_target("https://b.a.test/b/c"))


CODINGS = st.lists(st.sampled_from(["gzip", "deflate", "br", "x", ""]), max_size=6).map(",".join)
CODED = st.sampled_from([gzip.compress(b"x" * 500), zlib.compress(b"y" * 500), b"\x1f\x8b\x08\xff" + b"z" * 50])


@given(CODINGS, CODED, st.binary(max_size=30), st.integers(0, 60), st.booleans())
def test_any_body_is_content_of_limited_size_or_badly_coded(
    header: str, start: bytes, end: bytes, cut: int, is_start: bool
) -> None:
    body = start[: len(start) - cut] + end
    with closing(DownloadWatchdog()) as watchdog, watchdog.limit(60), suppress(BadEncoding):
        content = Codings(header, "x").undo(body, 400, is_start=is_start)
        assert len(content) <= 401 or content == body


@given(st.text(max_size=80) | st.lists(st.sampled_from(["a.test", ":", " ", "X", "[::1]", "443", "s"])).map("".join))
def test_any_line_is_a_header_or_refused_without_its_text(line: str) -> None:
    error = "line 1 is read"
    try:
        assert all(one.host and one.value.isascii() for one in parse_header_lines(line))
    except ValueError as exc:
        error = str(exc)
    assert re.fullmatch(r"line \d+ [a-zA-Z :`,.]+", error)


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_item_is_a_message_or_none(item: bytes) -> None:
    with suppress(InvalidMessage):
        assert validate_message(item)


@given(st.sampled_from(["headers", "properties", "body", "envelope", "kwargs"]), st.text(max_size=12), JSON, JSON)
def test_a_message_is_what_the_contract_knows_and_nothing_else(where: str, key: str, value: Any, url: Any) -> None:
    """One strange value in one place of a message that is otherwise right."""
    kwargs = {"image_id": "a", "url": url}
    if where == "kwargs":
        kwargs[key] = value
    message = json.loads(hand_made_message(kwargs))
    if where in ("headers", "properties"):
        message[where][key] = value
    elif where == "body":
        message["body"] = base64.b64encode(json.dumps(value).encode()).decode()
    elif where == "envelope":
        message[key] = value
    try:
        clean = validate_message(json.dumps(message).encode())
    except InvalidMessage:
        return
    assert clean["properties"]["delivery_info"] == {"exchange": "", "routing_key": "images"}
    args, passed, options = json.loads(base64.b64decode(clean["body"]))
    assert (args, options) == ([], {})
    assert set(passed) <= set(JOB_KEYS)
    assert clean["headers"][LOST_HEADER] >= 0
    again = validate_message(json.dumps(clean).encode())
    assert json.dumps({**again, "properties": 0}) == json.dumps({**clean, "properties": 0})


@cache
def decoder() -> Any:
    return decoder_for(SPEC, max_pixels=1_000_000)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of damaged EXIF
@settings(max_examples=300)
@given(st.deferred(small_files), st.lists(st.tuples(st.integers(0, 2**31), st.integers(0, 255)), max_size=8), st.data())
def test_any_file_is_an_image_or_an_error_with_a_code(
    content: bytes, changes: list[tuple[int, int]], data: st.DataObject
) -> None:
    mutated = bytearray(content)
    for position, value in changes:
        mutated[position % len(mutated)] = value
    cut = data.draw(st.integers(0, len(mutated)) | st.just(len(mutated)))
    with suppress(JobError):
        assert decoder().decode(bytes(mutated[:cut])).pixels.shape == (32, 32, 3)
