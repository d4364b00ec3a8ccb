"""A log call never waits and never fails: nobody reads the pipe, its reader has gone, or the disk is full."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import select
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from producer.telemetry.log_lines import JsonFormatter, TextFormatter
from producer.telemetry.log_output import LogOutput
from producer.telemetry.log_rate import RoutineLines
from producer.telemetry.logs import log_format

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# A pipe holds 64 KB by default.
LINES = 12_000
DROPPED = " log lines were dropped: nothing read the output, or it was full"


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            continue  # the test has closed it


def logger_to(descriptor: int) -> tuple[logging.Logger, LogOutput]:
    output = LogOutput(descriptor)
    output.setFormatter(JsonFormatter())
    logger = logging.Logger("test")  # noqa: LOG001  (no other test has it)
    logger.addHandler(output)
    return logger, output


def read_until(descriptor: int, is_enough: Callable[[list[str]], bool]) -> list[str]:
    """Return the messages of the lines so far as soon as they are enough."""
    content = b""
    while not content.endswith(b"\n") or not is_enough(messages := messages_of(content)):
        assert select.select([descriptor], [], [], 60)[0], f"nothing more comes after {content[-300:]!r}"
        content += os.read(descriptor, 1_000_000)
    return messages


def messages_of(content: bytes) -> list[str]:
    return [json.loads(line)["message"] for line in content.splitlines()]


def test_lines_keep_their_order_and_are_written_before_a_flush_returns(pipe: tuple[int, int]) -> None:
    logger, output = logger_to(pipe[1])
    for number in range(100):
        logger.warning("line %d", number)
    output.flush()
    os.set_blocking(pipe[0], False)
    assert messages_of(os.read(pipe[0], 1_000_000)) == [f"line {number}" for number in range(100)]


def test_no_thread_waits_for_a_pipe_that_nobody_reads_and_the_lost_lines_are_counted(pipe: tuple[int, int]) -> None:
    logger, output = logger_to(pipe[1])

    def log_lines() -> None:
        for _ in range(LINES // 4):
            logger.info("a")

    threads = [threading.Thread(target=log_lines) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "it waits for the pipe"
    output.flush()  # gives up
    read_until(pipe[0], lambda messages: messages.count("a") + count_dropped(messages) == LINES)
    logger.info("b")
    assert read_until(pipe[0], bool) == ["b"]


def count_dropped(messages: list[str]) -> int:
    """Return how many lines were dropped, as the log says it."""
    told = [message for message in messages if message.endswith(DROPPED)]
    return sum(int(message.split()[0]) for message in told)


def test_a_pipe_whose_reader_has_gone_does_no_harm(pipe: tuple[int, int]) -> None:
    logger, output = logger_to(pipe[1])
    os.close(pipe[0])
    logger.info("a")
    output.flush()
    logger.info("b")
    output.flush()
    assert output._unwritten == 2


def test_a_pipe_that_another_process_has_made_non_blocking_loses_nothing(pipe: tuple[int, int]) -> None:
    fcntl.fcntl(pipe[1], fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(pipe[1], False)
    logger, _ = logger_to(pipe[1])
    for number in range(500):
        logger.info("line %d", number)
    expected = [f"line {number}" for number in range(500)]
    assert read_until(pipe[0], lambda messages: len(messages) == 500) == expected


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_a_wrong_log_call_is_named_and_raises_nothing(formatter: logging.Formatter, pipe: tuple[int, int]) -> None:
    logger, output = logger_to(pipe[1])
    output.setFormatter(formatter)
    logger.info("%d images", "no number")
    output.flush()
    line = os.read(pipe[0], 4096).decode()
    assert f"the log call at {__file__}:" in line
    assert "TypeError" in line


def run_script(script: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-c", _START + script], check=False, timeout=60, **options)


_START = """
import logging, os, resource, signal, sys
from producer.telemetry.logs import start_log
start_log({"a": "INFO"}, "json")
log = logging.getLogger("a")
[output] = logging.getLogger().handlers
"""


def test_after_a_full_disk_each_line_is_whole_again(tmp_path: Path) -> None:
    """The system writes as much of a line as fits. The limit of a file's size stands for the disk."""
    path = tmp_path / "log"
    with path.open("wb") as file:
        script = """
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
for number in range(30):
    log.info("before %d", number)
output.flush()
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
log.info("after")
"""
        assert run_script(script, stdout=file).returncode == 0
    *first, torn, after, told = path.read_text().splitlines()
    assert [json.loads(line)["message"] for line in first] == [f"before {number}" for number in range(len(first))]
    assert json.loads(after)["message"] == "after"
    assert json.loads(told)["message"] == f"{30 - len(first)}{DROPPED}"
    with pytest.raises(json.JSONDecodeError):
        json.loads(torn)


@pytest.mark.parametrize("end", ["pass", "logging.shutdown(); os._exit(0)"], ids=["end", "os._exit"])
def test_a_process_ends_although_nobody_reads_its_output(end: str, pipe: tuple[int, int]) -> None:
    script = f"for _ in range(5000): log.info('a')\n{end}"
    assert run_script(script, stdout=pipe[1]).returncode == 0


@pytest.mark.parametrize(
    ("script", "message", "error"),
    [
        ("1 / 0", "an unexpected error ends the process", "ZeroDivisionError"),
        (
            "import threading; threading.Thread(target=lambda: 1 / 0, name='one').start()",
            "an unexpected error has ended the thread one",
            "ZeroDivisionError",
        ),
        ("import warnings; warnings.warn('old', UserWarning)", "<string>:7: UserWarning: old\n", ""),
        ("from producer.telemetry.logs import exit_with; exit_with('no')", "no", ""),
    ],
    ids=["main thread", "thread", "warning", "cannot start"],
)
def test_what_nobody_catches_is_a_line_on_standard_output(script: str, message: str, error: str) -> None:
    done = run_script(script, capture_output=True, env={**os.environ, "CLIPQUEUE_LOG_FORMAT": "json"})
    fields = json.loads(done.stdout)
    assert (fields["message"], done.stderr) == (message, b"")
    assert error in fields.get("exception", "")


def test_a_signal_handler_may_log_while_the_main_thread_logs(tmp_path: Path) -> None:
    """Celery's do. A lock that the interrupted call holds would stop the process for ever."""
    script = """
count = 0
def tick(*_):
    global count
    count += 1
    log.info("tick")
signal.signal(signal.SIGALRM, tick)
signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
while count < 100:
    log.info("main")
signal.setitimer(signal.ITIMER_REAL, 0)
output.flush()
"""
    path = tmp_path / "log"
    with path.open("wb") as file:
        assert run_script(script, stdout=file).returncode == 0
    messages = {json.loads(line)["message"] for line in path.read_text().splitlines()}
    assert {"tick", "main"} <= messages


@pytest.mark.parametrize(
    ("shell", "form"),
    [
        ({}, "json"),
        ({"CLIPQUEUE_LOG_FORMAT": "auto"}, "json"),
        ({"CLIPQUEUE_LOG_FORMAT": "text"}, "text"),
        ({"HONCHO_PROCESS_NAME": "worker.1"}, "text"),
        ({"PS": "worker.1"}, "text"),
        ({"PS": "anything else"}, "json"),
        ({"PS": "worker.1", "CLIPQUEUE_LOG_FORMAT": "json"}, "json"),
    ],
    ids=str,
)
@pytest.mark.usefixtures("capsys")  # standard output is no terminal then
def test_people_get_text_and_programs_json(shell: dict[str, str], form: str) -> None:
    assert log_format(shell) == form


def test_a_terminal_gets_text() -> None:
    """A real terminal: its other end."""
    ours, theirs = os.openpty()
    bare = {name: value for name, value in os.environ.items() if name != "CLIPQUEUE_LOG_FORMAT"}
    script = "from producer.telemetry.logs import start_log; start_log({}); 1 / 0"
    done = subprocess.run([sys.executable, "-c", script], env=bare, stdout=theirs, check=False, timeout=60)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    os.close(theirs)
    assert done.returncode == 1
    assert " CRITICAL producer.telemetry.logs an unexpected error ends the process\r\nTraceback" in shown


def test_routine_lines_above_a_rate_are_left_out_and_counted_and_warnings_never(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "test.routine")
    logger, now = logging.getLogger("test.routine"), [0.0]
    logger.addFilter(RoutineLines(10, lambda: now[0]))
    for number in range(100):
        logger.info("request %d", number)
    logger.warning("trouble")
    now[0] = 0.1
    logger.info("request %d", 100)
    logger.info("request %d", 101)
    now[0] = 0.2
    logger.info("request %d", 102)
    assert caplog.messages == [
        *(f"request {number}" for number in range(10)),
        "trouble",
        "request 100 (lines left out before this one: 90)",
        "request 102 (lines left out before this one: 1)",
    ]
