"""A library without a part that the worker needs stops the worker with one sentence."""

from __future__ import annotations

import re
from dataclasses import replace
from http.client import HTTPConnection
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.changed_library_app import BYPASSES, CHANGED_LIBRARY, REMOVALS, connect_directly
from tests.support.commands import complete
from tests.support.messages import hand_made_message
from tests.support.workers import FAKE_MODEL, worker_command
from worker.errors import UnusableLibrary
from worker.selftest.libraries import check_libraries, check_parts, installed, requirement
from worker.selftest.parts import PARTS, VERSIONS, Parts

if TYPE_CHECKING:
    import subprocess

    import redis

    from producer.local.stack import Stack


@pytest.mark.parametrize("parts", PARTS, ids=lambda parts: parts.owner)
def test_the_installed_libraries_have_every_part(parts: Parts) -> None:
    check_parts(parts)


@pytest.mark.parametrize("parts", PARTS, ids=lambda parts: parts.owner)
def test_a_missing_part_is_named_with_the_version_and_those_that_work(parts: Parts) -> None:
    for changed in (
        replace(parts, used=f"{parts.used} no_such_part"),
        replace(parts, owner=f"{parts.owner.partition(':')[0]}:NoSuchClass"),
        replace(parts, owner=f"{parts.owner.partition(':')[0]}.no_such_module"),
    ):
        with pytest.raises(UnusableLibrary) as raised:
            check_parts(changed)
        text = str(raised.value)
        assert "\n" not in text
        assert f" {parts.package} {installed(parts.package)} has no " in text
        assert text.endswith(f"install {parts.package}{VERSIONS[parts.package]}")
        assert re.search("no_such_part|NoSuchClass|no_such_module", text)


@pytest.mark.parametrize("parts", [parts for parts in PARTS if parts.overridden], ids=lambda parts: parts.owner)
def test_an_overridden_part_that_the_library_does_not_use_any_more_is_named(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rename that keeps the old name, for example: our method would never be called."""
    monkeypatch.setattr("worker.selftest.libraries._is_used", lambda name, *_: name != parts.overridden.split()[-1])
    with pytest.raises(UnusableLibrary, match=f"does not use {parts.overridden.split()[-1]} of "):
        check_parts(parts)


def test_a_library_that_calls_another_method_instead_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http connections are opened directly", "https connections are opened directly"):
        monkeypatch.setattr(*BYPASSES[name])
    assert "_new_conn" not in connect_directly.__code__.co_names
    with pytest.raises(UnusableLibrary, match=r"does not use _new_conn of urllib3\.connection:HTTPConnection"):
        check_libraries("urllib3")


def test_only_the_named_packages_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.selftest.libraries.PARTS", [Parts("kombu", "no.such_module")])
    check_libraries("urllib3")
    with pytest.raises(UnusableLibrary):
        check_libraries("urllib3", "kombu")


def start_changed(stack: Stack, change: str) -> subprocess.CompletedProcess[str]:
    env = {**stack.environment(), **FAKE_MODEL, CHANGED_LIBRARY: change}
    return complete(worker_command("changed", app="tests.support.changed_library_app"), env)


@pytest.mark.parametrize("change", [*REMOVALS, "http connections are opened directly"])
def test_a_worker_with_a_changed_library_exits_and_consumes_nothing(
    change: str, own: Stack, own_broker: redis.Redis
) -> None:
    """The settings of the embedded stack allow loopback. The model is never loaded."""
    message = hand_made_message({"image_id": "a", "url": "http://127.0.0.1:1/a.jpg"})
    own_broker.lpush("images", message)
    done = start_changed(own, change)
    assert done.returncode == 1
    output = done.stdout + done.stderr
    [line] = [line for line in output.splitlines() if "the worker does not start" in line]
    package = change.partition(".")[0] if change in REMOVALS else "urllib3"
    assert f"{package} {version(package)}" in line
    assert requirement(package) in line
    assert "Traceback" not in output
    assert own_broker.lrange("images", 0, -1) == [message.encode()]


def test_a_function_that_another_library_has_wrapped_counts_as_the_one_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    """sentry-sdk replaces some of http.client so, and a worker of its users must start."""
    original = HTTPConnection.getresponse

    def getresponse(self: Any, *args: Any, **kwargs: Any) -> Any:
        return original(self, *args, **kwargs)

    def other(self: Any) -> Any:
        return original(self)

    monkeypatch.setattr(HTTPConnection, "getresponse", getresponse)
    check_libraries("python")
    monkeypatch.setattr(HTTPConnection, "getresponse", other)
    with pytest.raises(UnusableLibrary, match="does not use"):
        check_libraries("python")
