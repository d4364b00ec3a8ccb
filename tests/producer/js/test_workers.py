"""The parts of `clipqueue/workers` that need no Worker: Redis' protocol, and the URL of a Redis."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.js_package import bundle_source

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[[str], Any]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a program with the package's sources, and return the JSON value that it prints."""

    def run(script: str) -> Any:
        (tmp_path / "source").mkdir()
        program = tmp_path / "source" / "program.mjs"
        program.write_text(script)
        command = ["node", str(bundle_source(program, tmp_path))]
        return json.loads(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)

    return run


def test_replies_are_read_wherever_the_bytes_are_cut(run: Run) -> None:
    """In three pieces, at every two places."""
    wrong = run("""
        import { replyReader } from "clipqueue-source/workers/resp.ts";
        const bytes = new TextEncoder().encode("+OK\\r\\n:12\\r\\n+a\\nü\\r\\r\\n:-3\\r\\n+\\r\\n");
        const wanted = JSON.stringify(["OK", 12, "a\\nü\\r", -3, ""]);
        const wrong = [];
        for (let one = 0; one <= bytes.length; one++) {
          for (let two = one; two <= bytes.length; two++) {
            const read = replyReader();
            const pieces = [bytes.slice(0, one), bytes.slice(one, two), bytes.slice(two)];
            const replies = pieces.flatMap((piece) => read(piece));
            if (JSON.stringify(replies) !== wanted) wrong.push([one, two, replies]);
          }
        }
        console.log(JSON.stringify(wrong));
    """)
    assert wrong == []


def test_what_is_no_reply_ends_the_command(run: Run) -> None:
    errors = run("""
        import { replyReader } from "clipqueue-source/workers/resp.ts";
        const given = ["-OOM full", "HTTP/1.1 400 Bad Request", "$2", "", ":1x"].map((line) => `${line}\\r\\n`);
        given.push("x".repeat(70_000));
        console.log(JSON.stringify(given.map((text) => {
          try { return replyReader()(new TextEncoder().encode(text)); } catch (error) { return error.message; }
        })));
    """)
    other = "its reply is not one of Redis; is this the port of Redis, and does it expect TLS?"
    assert errors == ["OOM full", *[other] * 4, "its reply is not one of Redis: a line is too long"]


def test_a_command_counts_bytes_and_not_characters(run: Run) -> None:
    text = run("""
        import { commandBytes } from "clipqueue-source/workers/resp.ts";
        const bytes = commandBytes([["AUTH", "pä😀"], ["LPUSH", "images", "", "a\\r\\n"]]);
        console.log(JSON.stringify(new TextDecoder().decode(bytes)));
    """)
    auth = "*2\r\n$4\r\nAUTH\r\n$7\r\npä😀\r\n"
    assert text == auth + "*4\r\n$5\r\nLPUSH\r\n$6\r\nimages\r\n$0\r\n\r\n$3\r\na\r\n\r\n"


READ = {"hostname": "host", "port": 6379, "tls": False, "username": "", "password": "", "database": 0}
NOT_ENCODED = "has a special character in its user name or password that is not percent-encoded"
NO_HOST = "has a host or port that cannot be read; is a special character not percent-encoded?"
SCHEME = "must start with redis:// or rediss://"
URLS: list[tuple[Any, dict[str, Any] | str]] = [
    ("redis://host", READ),
    (' "redis://host/"\n', READ),
    ("REDIS://host:6379/0", READ),
    ("rediss://host:7000/15", {**READ, "tls": True, "port": 7000, "database": 15}),
    ("redis://:p%40ss%2F%25@host", {**READ, "password": "p@ss/%"}),
    ("redis://us%20er:pä@host", {**READ, "username": "us er", "password": "pä"}),
    ("redis://user@host", {**READ, "username": "user"}),
    ("redis://[2001:db8::1]:7000", {**READ, "hostname": "2001:db8::1", "port": 7000}),
    ("redis://:hunter2/@host", NO_HOST),
    ("redis://user:7/hunter2@host", NOT_ENCODED),
    ("redis://:hunter#2@host", NO_HOST),
    ("redis://host/0#hunter2", NOT_ENCODED),
    ("redis://host?x=hunter@2", NOT_ENCODED),
    ("redis://:hunter2%@host", "has a percent sign in its user name or password that is not written as %25"),
    ("redis://:hunter2@host:port", NO_HOST),
    ("redis://:hunter2@ho st", NO_HOST),
    ("redis://:hunter2@", NO_HOST),
    ("redis://", NO_HOST),
    ("redis://host/images", "must end with the number of a database"),
    ("redis://host/0?ssl=true", "has options, which are not supported"),
    ("https://hunter2@host", SCHEME),
    ("hunter2", SCHEME),
    ("", "is missing or empty"),
    (None, "is missing or empty"),
]


def test_the_url_of_a_redis_is_read_or_refused_without_its_password(run: Run) -> None:
    results = run(f"""
        import {{ readRedisUrl }} from "clipqueue-source/workers/redisurl.ts";
        console.log(JSON.stringify({json.dumps([url for url, _ in URLS])}.map((url) => {{
          try {{ return readRedisUrl(url); }} catch (error) {{ return `${{error.name}}: ${{error.message}}`; }}
        }})));
    """)
    expected = "expected: redis://:password@host:6379/0 (or rediss:// for TLS)"
    wanted = [
        one if isinstance(one, dict) else f"ConfigurationError: the URL of Redis {one}; {expected}" for _, one in URLS
    ]
    assert results == wanted
