"""Decoding in processes of their own: what a file makes one of them do, and that the next file is decoded."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from tests.hostile.shapes import progressive
from tests.support.decoding import LIMITS, decoder_for
from tests.support.pictures import encoded, photo, small_jpeg
from tests.support.waiting import wait_for
from worker import errors
from worker.decode.pool import DecodePool, ProcessLimits
from worker.spec import PreprocessSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SPEC = PreprocessSpec(64, 64)
COST = ProcessLimits(cpu_s=5, memory_bytes=1024**3, wall_s=20.0)
# Some seconds of processor time in a few kilobytes: what each scan costs does not depend on what is in it.
SLOW = progressive(2000, (2000, 2000))


@pytest.fixture
def pools() -> Iterator[Callable[..., DecodePool]]:
    """A function that makes a pool of one process, with some limits changed."""
    made: list[DecodePool] = []

    def make(max_scans: int = 100_000, processes: int = 1, **cost: Any) -> DecodePool:
        limits = replace(LIMITS, max_scans=max_scans)
        made.append(DecodePool(SPEC, limits, replace(COST, **cost), processes=processes))
        return made[-1]

    yield make
    for pool in made:
        pool.close()


def children() -> set[int]:
    """Return the decoding processes of this one."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            is_ours = f"PPid:\t{os.getpid()}\n" in (path.parent / "status").read_text()
            if is_ours and b"worker.decode.child" in path.read_bytes():
                found.add(int(path.parent.name))
        except OSError:  # it has ended meanwhile
            continue
    return found


def test_pixels_are_those_of_the_decoder_itself(pools: Callable[..., DecodePool]) -> None:
    pool = pools()
    for content in (small_jpeg(), encoded(photo(), "PNG"), encoded(photo(), "WEBP")):
        ours, its = pool.decode(content), decoder_for(SPEC).decode(content)
        assert np.array_equal(ours.pixels, its.pixels)
        assert (ours.width, ours.height, ours.format) == (its.width, its.height, its.format)


def test_errors_are_those_of_the_decoder_itself(pools: Callable[..., DecodePool]) -> None:
    pool = pools(max_scans=10)
    before = children()
    for content, error in (
        (b"%PDF-1.7", errors.UnsupportedFormat),
        (small_jpeg()[:200], errors.CorruptImage),
        (encoded(Image.new("L", (8000, 8000)), "PNG"), errors.TooManyPixels),
        (progressive(11), errors.TooManyScans),
    ):
        with pytest.raises(error) as caught:
            pool.decode(content)
        assert str(caught.value)
    assert len(children() - before) == 1, "one process refused them all"


def test_processor_time_is_bounded(pools: Callable[..., DecodePool]) -> None:
    pool = pools(cpu_s=1)
    with pytest.raises(errors.DecodeTooCostly, match="CLIPQUEUE_DECODE_CPU_S"):
        pool.decode(SLOW)
    assert pool.decode(small_jpeg()).format == "JPEG"


def test_memory_is_bounded(pools: Callable[..., DecodePool]) -> None:
    """A picture within the limit of pixels that the process has no room for."""
    pool = pools(memory_bytes=300 * 1024**2)
    with pytest.raises(errors.DecodeTooCostly, match="CLIPQUEUE_DECODE_MEMORY_BYTES"):
        pool.decode(encoded(Image.new("RGB", (7000, 7000)), "PNG"))
    assert pool.decode(small_jpeg()).format == "JPEG"


def test_time_is_bounded(pools: Callable[..., DecodePool]) -> None:
    pool = pools(wall_s=1.0)
    pool.warm_up()
    with pytest.raises(errors.DecodeTimeout, match="CLIPQUEUE_DECODE_S"):
        pool.decode(SLOW)
    assert not children(), "the process that was too slow is gone"


def test_how_many_decode_at_once_is_bounded(pools: Callable[..., DecodePool]) -> None:
    """While the one process works, other images wait, and their jobs go back to the queue in time."""
    pool = pools(wall_s=1.5)
    pool.warm_up()
    ends: list[Exception] = []

    def decode() -> None:
        try:
            pool.decode(SLOW)
        except (errors.JobError, errors.Requeue) as exc:
            ends.append(exc)

    threads = [threading.Thread(target=decode) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(type(end).__name__ for end in ends) == ["DecodeTimeout", "DecodersBusy", "DecodersBusy"]


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL])
def test_a_crash_costs_one_process_and_no_other_image(number: int, pools: Callable[..., DecodePool]) -> None:
    pool = pools()
    pool.warm_up()
    (child,) = children()
    killer = threading.Timer(0.3, os.kill, (child, number))
    killer.start()
    with pytest.raises(errors.DecoderCrashed, match=f"exit status {-number}"):
        pool.decode(SLOW)
    killer.join()
    assert pool.decode(small_jpeg()).format == "JPEG"
    assert child not in children()


def test_a_process_that_was_taken_over_can_say_nothing_harmful(
    pools: Callable[..., DecodePool], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whatever it answers, the worker sees a lost process."""
    answers = [
        b"\xff\xff\xff\xff",
        b"\x00\x00\x00\x02[]",
        b"\x00\x00\x00\x04null",
        b"\x00\x00\x00\x05\x80\x04\x95\x00\x00",
        b"\x00\x00\x00\x35" + b'{"width": "x", "height": 1, "format": "JPEG"}        ' + bytes(64 * 64 * 3),
        b"\x00\x00\x00\x38" + b'{"width": Infinity, "height": 1, "format": "JPEG"}       ' + bytes(64 * 64 * 3),
        b"\x00\x00\x00\x38" + b'{"width": -5, "height": 1, "format": "JPEG"}             ' + bytes(64 * 64 * 3),
        b"\x00\x00\x00\x33" + b'{"width": 1, "height": 1, "format": "<script>"}    ' + bytes(64 * 64 * 3),
        (20_000).to_bytes(4, "big") + b"[" * 20_000,
    ]
    for number, answer in enumerate(answers):
        script = tmp_path / f"taken-over-{number}"
        script.write_text(
            f"#!{sys.executable}\nimport socket\ns = socket.socket(fileno=0)\ns.recv(10)\ns.sendall({answer!r})\n"
        )
        script.chmod(script.stat().st_mode | stat.S_IEXEC)
        with monkeypatch.context() as patched:
            patched.setattr(sys, "executable", str(script))
            with pytest.raises(errors.DecoderCrashed):
                pools().decode(small_jpeg())


def test_the_process_has_nothing_of_the_environment(
    pools: Callable[..., DecodePool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONGODB_URI", "mongodb://user:hunter2@host/")
    pools().warm_up()
    (child,) = children()
    environment = Path(f"/proc/{child}/environ").read_bytes()
    assert b"hunter2" not in environment
    assert {entry.partition(b"=")[0] for entry in environment.split(b"\0") if entry} <= {
        b"PYTHONPATH",
        b"OPENBLAS_NUM_THREADS",
        b"LD_LIBRARY_PATH",
        b"LC_CTYPE",  # Python's own coercion of the C locale
    }


def test_a_process_that_cannot_start_is_said_at_the_start(pools: Callable[..., DecodePool]) -> None:
    with pytest.raises(errors.DecoderUnavailable, match="CLIPQUEUE_DECODE_MEMORY_BYTES=1000000"):
        pools(memory_bytes=1_000_000).warm_up()


def test_the_processes_end_with_the_worker_however_it_ends(tmp_path: Path) -> None:
    """Killed with -9, it can end nothing itself."""
    script = (
        "import time\nfrom tests.worker.decode.test_pool import COST, LIMITS, SPEC, DecodePool\n"
        "pool = DecodePool(SPEC, LIMITS, COST, processes=1)\npool.warm_up()\n"
        "print(pool._idle.queue[0]._process.pid, flush=True)\ntime.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    with parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        os.kill(child, 0)
        parent.kill()
    wait_for(lambda: not Path(f"/proc/{child}").exists(), "the decoding process to end")


def test_idle_processes_are_taken_again(pools: Callable[..., DecodePool]) -> None:
    """Of eight that may be, one is enough for images that come one after another."""
    pool = pools(processes=8)
    before = children()
    for number in range(20):
        pool.decode(small_jpeg(number))
    assert len(children() - before) == 1
    pool.close()
    wait_for(lambda: not children() - before, "the process to end")


def test_receiving_a_file_costs_nothing_of_its_processor_time(pools: Callable[..., DecodePool]) -> None:
    """Between two images the process has no limit left that the first one's time has used up."""
    pool = pools(cpu_s=1)
    pool.decode(small_jpeg())
    (child,) = children()
    limits = Path(f"/proc/{child}/limits").read_text()
    (cpu,) = [line for line in limits.splitlines() if line.startswith("Max cpu time")]
    assert cpu.split()[3:5] == ["unlimited", "unlimited"]


def test_a_process_that_cannot_even_be_made_is_said_at_the_start(
    pools: Callable[..., DecodePool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(errors.DecoderUnavailable, match="FileNotFoundError"):
        pools().warm_up()
