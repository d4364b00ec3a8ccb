"""The operator's request headers by host: their form, and that no error repeats a secret."""

from __future__ import annotations

import os
import traceback
from typing import TYPE_CHECKING

import pytest

from worker.header_lines import HeaderLine, parse_header_lines, read_header_lines
from worker.settings import Settings, SettingsError, load_settings

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "s3cr3t"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "cdn.test: Authorization: Bearer a.b-c_d~e+f/g==",
            ("cdn.test", 443, "Authorization", "Bearer a.b-c_d~e+f/g=="),
        ),
        (" CDN.Test. :X-Key:a:b: c ", ("cdn.test", 443, "X-Key", "a:b: c")),
        ("cdn.test:8443: X-Key: k", ("cdn.test", 8443, "X-Key", "k")),
        ("192.0.2.1: X-Key: k", ("192.0.2.1", 443, "X-Key", "k")),
        ("[2001:DB8::1]: X-Key: k", ("[2001:db8::1]", 443, "X-Key", "k")),
        ("[2001:db8::1]:8443: X-Key: k", ("[2001:db8::1]", 8443, "X-Key", "k")),
        ("Bücher.test: X-Key: k", ("bücher.test", 443, "X-Key", "k")),
        ("my_bucket.test: Cookie: a=1; b=2", ("my_bucket.test", 443, "Cookie", "a=1; b=2")),
        ('cdn.test: X-Key: "quoted" # not a comment', ("cdn.test", 443, "X-Key", '"quoted" # not a comment')),
    ],
)
def test_a_line_has_host_name_and_value(text: str, expected: tuple[str, int, str, str]) -> None:
    assert parse_header_lines(text) == (HeaderLine(*expected),)


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\\n", "\n\n \n# a comment: with: colons\n"])
def test_there_may_be_several_lines(line_break: str) -> None:
    r"""`\n` may be two characters, because the files of `docker run --env-file` cannot hold a line break."""
    lines = parse_header_lines(line_break.join(["", "a.test: X: 1", "a.test: Y: 2", "b.test: X: 3", ""]))
    assert [(line.host, line.name, line.value) for line in lines] == [
        ("a.test", "X", "1"),
        ("a.test", "Y", "2"),
        ("b.test", "X", "3"),
    ]


@pytest.mark.parametrize("text", ["", " ", "\n", "# nothing"])
def test_there_may_be_none(text: str) -> None:
    assert parse_header_lines(text) == ()


@pytest.mark.parametrize(
    "line",
    [
        f"Authorization: Bearer {SECRET}",
        f"Bearer {SECRET}",
        f": Authorization: {SECRET}",
        f"cdn.test: : {SECRET}",
        "cdn.test: Authorization:",
        f"https://cdn.test: Authorization: {SECRET}",
        f"cdn.test/path: Authorization: {SECRET}",
        f"*.cdn.test: Authorization: {SECRET}",
        f"*: Authorization: {SECRET}",
        f"user@cdn.test: Authorization: {SECRET}",
        f"cdn test: Authorization: {SECRET}",
        f"cdn%2etest: Authorization: {SECRET}",
        f"[::1: Authorization: {SECRET}",
        f"...: Authorization: {SECRET}",
        f"xn--\x00.test: Authorization: {SECRET}",
        f"cdn..test: Authorization: {SECRET}",
        f"{'ü' * 70}.test: Authorization: {SECRET}",
        f"cdn.test:0: Authorization: {SECRET}",
        f"cdn.test:65536: Authorization: {SECRET}",
        f"cdn.test:999999: Authorization: {SECRET}",
        f"cdn.test: 8443: Authorization: {SECRET}",
        f"cdn.test: Author ization: {SECRET}",
        f"cdn.test: Autörization: {SECRET}",
        f"cdn.test: Authorization: {SECRET}\rX: y",
        f"cdn.test: Authorization: {SECRET}\x00",
        f"cdn.test: Authorization: {SECRET}\x0b",
        f"cdn.test: Authorization: {SECRET}\x7f",
        f"cdn.test: Authorization: {SECRET}é",
        f"cdn.test: Authorization: {SECRET}\u2028",
        f"cdn.test: X: 1\ncdn.test: x: {SECRET}",
        f"cdn.test: X: 1\nCDN.test.:443: X: {SECRET}",
        *(
            f"cdn.test: {name}: {SECRET}"
            for name in [
                *("Host", "host", "Content-Length", "Content-Type", "Transfer-Encoding", "Connection", "Keep-Alive"),
                *("TE", "Trailer", "Upgrade", "Expect", "Proxy-Authorization", "Proxy-Connection", "Accept-Encoding"),
                *("Range", "If-Range", "If-None-Match", "If-Modified-Since", "HTTP2-Settings"),
            ]
        ),
    ],
)
def test_an_invalid_line_is_refused_without_being_repeated(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"line \d ") as caught:
        parse_header_lines(line)
    assert SECRET not in str(caught.value)
    if "\x00" not in line:  # no variable can have one
        monkeypatch.setenv("CLIPQUEUE_FETCH_HEADERS", line)
        with pytest.raises(SettingsError, match="CLIPQUEUE_FETCH_HEADERS: ") as refused:
            load_settings()
        assert SECRET not in "".join(traceback.format_exception(refused.value))


def test_neither_the_settings_nor_a_line_show_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIPQUEUE_FETCH_HEADERS", f"cdn.test: Authorization: Bearer {SECRET}")
    settings = load_settings()
    shown = [settings, settings.model_dump(), settings.model_dump_json(), settings.header_lines]
    assert SECRET not in repr(shown) + str(shown)
    assert settings.header_lines[0].value == f"Bearer {SECRET}"


def test_the_error_of_another_setting_shows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIPQUEUE_FETCH_HEADERS", f"cdn.test: Authorization: Bearer {SECRET}")
    monkeypatch.setenv("CLIPQUEUE_DRAIN_S", "1")  # a conflict: pydantic's own error would contain all values
    with pytest.raises(ValueError, match="CLIPQUEUE_DRAIN_S") as caught:
        Settings()
    assert SECRET not in str(caught.value)


def test_the_lines_may_be_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "headers"
    file.write_bytes(b"\xef\xbb\xbf# The store\r\ncdn.test: X: 1\r\n")
    monkeypatch.setenv("CLIPQUEUE_FETCH_HEADERS_FILE", str(file))
    assert load_settings().header_lines == (HeaderLine("cdn.test", 443, "X", "1"),)
    monkeypatch.setenv("CLIPQUEUE_FETCH_HEADERS", "cdn.test: X: 1")
    with pytest.raises(SettingsError, match="not both"):
        load_settings()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        (b"\xff", "not UTF-8"),
        (b"#" * 65_537, "more than 65536 bytes"),
        (SECRET.encode(), "line 1"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(
    content: bytes | None, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "headers"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("CLIPQUEUE_FETCH_HEADERS_FILE", str(file))
    with pytest.raises(SettingsError, match=f"CLIPQUEUE_FETCH_HEADERS_FILE: .*{message}") as caught:
        load_settings()
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("path", ["/", "\0", "/dev/zero"])
def test_a_path_that_is_no_file_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="the file"):
        read_header_lines(path)


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    """A shell's `<(...)` is one: it would be empty when it is read for the second time."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(ValueError, match="a pipe"):
        read_header_lines(str(pipe))
