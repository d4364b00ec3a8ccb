"""The pool of decoding processes: limits, crashes, and that the next file is still decoded."""

from __future__ import annotations

import os
import platform
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
from tests.support.descriptors import FD_SETSIZE, many_open_descriptors
from tests.support.pictures import encoded, photo, small_jpeg
from tests.support.waiting import wait_for
from worker import errors
from worker.decode.pool import DecodePool, ProcessLimits
from worker.spec import PreprocessSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SPEC = PreprocessSpec(64, 64)
COST = ProcessLimits(cpu_s=5, memory_bytes=1024**3, wall_s=20.0)
SCANS = 2000
# A file of a few kilobytes that takes seconds of CPU time: the cost of a scan does not depend on its content.
SLOW_IMAGE = progressive(SCANS, (2000, 2000))


def make_pool(processes: int = 1, **cost: Any) -> DecodePool:
    return DecodePool(SPEC, replace(LIMITS, max_scans=SCANS), replace(COST, **cost), processes=processes)


@pytest.fixture(scope="module")
def shared_pool() -> Iterator[DecodePool]:
    """A pool whose first process starts while the environment holds a password."""
    pool = make_pool(processes=8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MONGODB_URI", "mongodb://user:hunter2@host/")
        pool.warm_up()
    yield pool
    before = children()
    pool.close()
    assert before
    assert not children(), "close stops the idle processes"


@pytest.fixture
def new_pool() -> Iterator[Callable[..., DecodePool]]:
    """A function that makes a pool of one process with other limits."""
    pools: list[DecodePool] = []

    def new(**cost: Any) -> DecodePool:
        pools.append(make_pool(**cost))
        return pools[-1]

    yield new
    for pool in pools:
        pool.close()


def children() -> set[int]:
    """Return the process ids of this process's decoding processes."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            is_ours = f"PPid:\t{os.getpid()}\n" in (path.parent / "status").read_text()
            if is_ours and b"worker.decode.child" in path.read_bytes():
                found.add(int(path.parent.name))
        except OSError:  # it has ended in the meantime
            continue
    return found


def page_faults(process: int) -> int:
    """Return how many pages of memory the kernel has given to a process."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return int(fields[7])  # minflt, see proc(5)


def test_the_environment_is_not_inherited(shared_pool: DecodePool) -> None:
    """Runs first, while the pool still has the process that started beside the password."""
    (child,) = children()
    environment = Path(f"/proc/{child}/environ").read_bytes()
    assert b"hunter2" not in environment
    assert {entry.partition(b"=")[0] for entry in environment.split(b"\0") if entry} <= {
        b"PYTHONPATH",
        b"OPENBLAS_NUM_THREADS",
        b"MALLOC_MMAP_THRESHOLD_",
        b"MALLOC_TRIM_THRESHOLD_",
        b"LD_LIBRARY_PATH",
        b"LC_CTYPE",  # Python sets it in the C locale
    }


def test_pixels_equal_those_of_the_decoder(shared_pool: DecodePool) -> None:
    decoder = decoder_for(SPEC)
    for content in (small_jpeg(), encoded(photo(), "PNG"), encoded(photo(), "WEBP")):
        image, expected = shared_pool.decode(content), decoder.decode(content)
        assert np.array_equal(image.pixels, expected.pixels)
        assert (image.width, image.height, image.format) == (expected.width, expected.height, expected.format)


def test_errors_equal_those_of_the_decoder(shared_pool: DecodePool) -> None:
    before = children()
    for content, error in (
        (b"%PDF-1.7", errors.UnsupportedFormat),
        (small_jpeg()[:200], errors.CorruptImage),
        (encoded(Image.new("L", (8000, 8000)), "PNG"), errors.TooManyPixels),
        (progressive(SCANS + 1), errors.TooManyScans),
    ):
        with pytest.raises(error) as caught:
            shared_pool.decode(content)
        assert str(caught.value)
    assert len(before) == 1
    assert children() == before, "the same process refused them all"


def test_idle_processes_are_reused(shared_pool: DecodePool) -> None:
    """One of eight processes is enough for images that arrive one after another."""
    before = children()
    for number in range(20):
        shared_pool.decode(small_jpeg(number))
    assert len(before) == 1
    assert children() == before


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has this setting")
def test_a_process_keeps_its_memory_for_the_next_image(new_pool: Callable[..., DecodePool]) -> None:
    """Otherwise, the kernel gives it each page of each image anew."""
    others, pool, content = children(), new_pool(), encoded(photo().resize((640, 480)), "WEBP")
    for _ in range(3):
        pool.decode(content)
    (child,) = children() - others
    before = page_faults(child)
    for _ in range(10):
        pool.decode(content)
    assert page_faults(child) - before < 1000, "the picture alone has 300 pages"


def test_receiving_a_file_does_not_count_as_cpu_time(shared_pool: DecodePool) -> None:
    """Between two images the process has no CPU limit that the first image has already used up."""
    shared_pool.decode(small_jpeg())
    (child,) = children()
    limits = Path(f"/proc/{child}/limits").read_text()
    (cpu,) = [line for line in limits.splitlines() if line.startswith("Max cpu time")]
    assert cpu.split()[3:5] == ["unlimited", "unlimited"]


def test_a_worker_with_many_open_descriptors_still_decodes(new_pool: Callable[..., DecodePool]) -> None:
    """The threads' connections may take all descriptors below 1024."""
    pool = new_pool()
    with many_open_descriptors():
        assert [pool.decode(small_jpeg(number)).format for number in range(2)] == ["JPEG", "JPEG"]
        child = pool._idle.queue[0]
        assert child is not None
        assert child._sock.fileno() >= FD_SETSIZE
    pool.close()


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL])
def test_a_crash_affects_only_one_image(number: int, shared_pool: DecodePool) -> None:
    (child,) = children()
    assert shared_pool.pids == [child]
    lost = shared_pool.lost
    killer = threading.Timer(0.3, os.kill, (child, number))
    killer.start()
    with pytest.raises(errors.DecoderCrashed, match=f"exit status {-number}"):
        shared_pool.decode(SLOW_IMAGE)
    killer.join()
    assert shared_pool.decode(small_jpeg()).format == "JPEG"
    assert child not in children()
    assert set(shared_pool.pids) == children()
    assert shared_pool.lost == lost + 1


def test_cpu_time_is_limited(new_pool: Callable[..., DecodePool]) -> None:
    pool = new_pool(cpu_s=1)
    with pytest.raises(errors.DecodeTooCostly, match="CLIPQUEUE_DECODE_CPU_S"):
        pool.decode(SLOW_IMAGE)
    assert pool.decode(small_jpeg()).format == "JPEG"


def test_memory_is_limited(new_pool: Callable[..., DecodePool]) -> None:
    """The image is within the pixel limit but does not fit into the process's memory."""
    pool = new_pool(memory_bytes=300 * 1024**2)
    with pytest.raises(errors.DecodeTooCostly, match="CLIPQUEUE_DECODE_MEMORY_BYTES"):
        pool.decode(encoded(Image.new("RGB", (7000, 7000)), "PNG", compress_level=1))
    assert pool.decode(small_jpeg()).format == "JPEG"


def test_elapsed_time_is_limited(new_pool: Callable[..., DecodePool]) -> None:
    before = children()
    pool = new_pool(wall_s=1.0)
    pool.warm_up()
    with pytest.raises(errors.DecodeTimeout, match="CLIPQUEUE_DECODE_S"):
        pool.decode(SLOW_IMAGE)
    assert children() == before, "the slow process was killed"
    assert (pool.pids, pool.lost) == ([], 1)


def test_the_number_of_concurrent_decodes_is_limited(new_pool: Callable[..., DecodePool]) -> None:
    """While the only process is busy, other images wait, and their jobs are requeued in time."""
    pool = new_pool(wall_s=1.5)
    pool.warm_up()
    raised: list[Exception] = []

    def decode() -> None:
        try:
            pool.decode(SLOW_IMAGE)
        except (errors.JobError, errors.Requeue) as exc:
            raised.append(exc)

    threads = [threading.Thread(target=decode) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(type(exc).__name__ for exc in raised) == ["DecodeTimeout", "DecodersBusy", "DecodersBusy"]


def test_invalid_answers_of_a_compromised_process_are_a_crash(
    new_pool: Callable[..., DecodePool], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pixels = bytes(64 * 64 * 3)
    answers = [
        b"\xff\xff\xff\xff",
        b"\x00\x00\x00\x02[]",
        b"\x00\x00\x00\x04null",
        b"\x00\x00\x00\x05\x80\x04\x95\x00\x00",
        b"\x00\x00\x00\x35" + b'{"width": "x", "height": 1, "format": "JPEG"}        ' + pixels,
        b"\x00\x00\x00\x38" + b'{"width": Infinity, "height": 1, "format": "JPEG"}       ' + pixels,
        b"\x00\x00\x00\x38" + b'{"width": -5, "height": 1, "format": "JPEG"}             ' + pixels,
        b"\x00\x00\x00\x33" + b'{"width": 1, "height": 1, "format": "<script>"}    ' + pixels,
        (20_000).to_bytes(4, "big") + b"[" * 20_000,
    ]
    for number, answer in enumerate(answers):
        script = tmp_path / f"compromised-{number}"
        script.write_text(
            f"#!{sys.executable}\nimport socket\ns = socket.socket(fileno=0)\ns.recv(10)\ns.sendall({answer!r})\n"
        )
        script.chmod(script.stat().st_mode | stat.S_IEXEC)
        with monkeypatch.context() as patched:
            patched.setattr(sys, "executable", str(script))
            with pytest.raises(errors.DecoderCrashed):
                new_pool().decode(small_jpeg())


def test_a_process_that_runs_out_of_memory_at_startup_is_reported(new_pool: Callable[..., DecodePool]) -> None:
    with pytest.raises(errors.DecoderUnavailable, match="CLIPQUEUE_DECODE_MEMORY_BYTES=1000000"):
        new_pool(memory_bytes=1_000_000).warm_up()


def test_a_process_that_cannot_be_created_is_reported(
    new_pool: Callable[..., DecodePool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(errors.DecoderUnavailable, match="FileNotFoundError"):
        new_pool().warm_up()


def test_decoding_processes_end_when_the_worker_is_killed() -> None:
    """After kill -9 the worker itself can stop nothing."""
    script = (
        "import time\nfrom tests.worker.decode.test_pool import make_pool\npool = make_pool()\npool.warm_up()\n"
        "print(pool._idle.queue[0]._process.pid, flush=True)\ntime.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    with parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        os.kill(child, 0)
        parent.kill()
    wait_for(lambda: not Path(f"/proc/{child}").exists(), "the decoding process to end")
