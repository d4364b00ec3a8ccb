"""The health file: whose it is, how old it may be, and what a process leaves behind."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from worker.errors import HealthFileUnavailable
from worker.health import SILENT_S, find_problem, is_held, to_bytes
from worker.lifecycle.pulse import Pulse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for the files, in a temporary folder of its own."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path / f"clipqueue-{os.getuid()}"


@pytest.fixture
def pulse() -> Iterator[Pulse]:
    pulse = Pulse("worker@host")
    yield pulse
    pulse.close()


@pytest.mark.parametrize("date", [0.0, 4e9])
def test_no_change_of_the_date_makes_a_worker_healthy_or_unhealthy(
    date: float, pulse: Pulse, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pulse.beat()
    (file,) = folder.glob("*.health")
    os.utime(file, (date, date))
    monkeypatch.setattr(time, "time", lambda: date)
    assert find_problem() is None


def test_a_process_that_stands_still_is_unhealthy_until_it_moves_again(pulse: Pulse) -> None:
    pulse.beat()
    now_s = time.monotonic()
    assert find_problem(now_s=now_s + SILENT_S - 1) is None
    assert find_problem(now_s=now_s + SILENT_S + 10) == (
        "worker@host is frozen or hangs: it has shown no sign of life for 40 s"
    )
    late = Pulse("late@host", clock=lambda: now_s + SILENT_S + 10)
    late.beat()
    assert "late@host" not in (find_problem(now_s=now_s + SILENT_S + 10) or "")
    late.close()


def test_a_starting_worker_removes_what_killed_ones_left_and_nothing_else(folder: Path, pulse: Pulse) -> None:
    script = "import os, signal; from worker.lifecycle.pulse import Pulse; Pulse('a@b'); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", script], env={**os.environ, "TMPDIR": str(folder.parent)}, check=False)
    assert len(list(folder.iterdir())) == 2
    assert "a@b" not in (find_problem() or ""), "a file that is left over says nothing about a living worker"
    Pulse("worker@host").close()
    assert len(list(folder.iterdir())) == 1


def test_a_folder_of_another_kind_is_not_used(folder: Path) -> None:
    """Everybody may write into the temporary folder. A link there could lead anywhere."""
    (folder.parent / "elsewhere").mkdir()
    folder.symlink_to(folder.parent / "elsewhere")
    with pytest.raises(HealthFileUnavailable, match="belongs to another user"):
        Pulse("worker@host")


def test_a_health_file_has_one_worker_at_a_time(tmp_path: Path) -> None:
    file = str(tmp_path / "file")
    pulse = Pulse("worker@host", file)
    with pytest.raises(HealthFileUnavailable, match="give each worker its own file"):
        Pulse("other@host", file)
    pulse.close()
    Pulse("other@host", file).close()


def test_a_locked_file_with_another_content_is_named(pulse: Pulse, folder: Path) -> None:
    (file,) = folder.glob("*.health")
    file.write_text("something else")
    assert find_problem() == "the health file cannot be read: it has another content than a worker writes"


def test_a_content_read_during_a_write_is_not_believed(pulse: Pulse, folder: Path) -> None:
    """It begins like the later content and ends like the earlier one."""
    (file,) = folder.glob("*.health")
    earlier, later = (to_bytes("worker@host", beat_s, "") for beat_s in (1000.5, 2000.5))
    file.write_bytes(later[:6] + earlier[6:])
    assert find_problem(now_s=2001) == "the health file cannot be read: it has another content than a worker writes"
    file.write_bytes(earlier)
    assert "is frozen or hangs" in (find_problem(now_s=2001) or "")


def test_two_checks_at_the_same_time_take_each_other_for_no_worker(tmp_path: Path) -> None:
    (tmp_path / "left").touch()
    with (tmp_path / "left").open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)  # as a check does
        assert not is_held(str(tmp_path / "left"))


def test_a_reason_of_several_lines_is_one_line(pulse: Pulse) -> None:
    pulse.beat("out of\nluck")
    assert find_problem() == "worker@host: out of luck"


@pytest.mark.parametrize("beat_s", [1e9, float("inf"), float("nan")])
def test_a_time_that_is_still_to_come_proves_no_life(beat_s: float, pulse: Pulse, folder: Path) -> None:
    """A process that hangs afterwards would be healthy until then."""
    (file,) = folder.glob("*.health")
    file.write_bytes(to_bytes("worker@host", beat_s, ""))
    assert (find_problem() or "").startswith("worker@host has written a time that is still to come")


def test_a_named_pipe_is_neither_waited_for_nor_replaced(tmp_path: Path) -> None:
    """As little as /dev/null, which a worker that runs as root could replace."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert (find_problem(str(pipe)) or "").endswith(f"no living process holds {pipe}")
    with pytest.raises(HealthFileUnavailable, match="is no regular file"):
        Pulse("worker@host", str(pipe))
    assert pipe.is_fifo()


def test_a_failed_start_leaves_no_file(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(HealthFileUnavailable, match="is no regular file"):
        Pulse("worker@host", str(tmp_path / "taken"))
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_a_node_name_of_any_length_and_script_fits(pulse: Pulse) -> None:
    long = Pulse("\N{SNOWMAN}" * 1000)
    assert find_problem() is not None
    long.close()


def test_the_file_of_another_worker_does_not_keep_one_from_starting(pulse: Pulse, folder: Path) -> None:
    """Whatever it contains: it may be read during a write."""
    (file,) = folder.glob("*.health")
    file.write_text("{")
    Pulse("other@host").close()
    assert file.exists()
