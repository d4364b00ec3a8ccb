"""The commands on a million documents in the embedded MongoDB: time to the first job, and peak memory.

The memory is that of a complete run, and its reference the same run on a tenth of the documents.
"""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

from tests.bench.many import MODEL, Kind, fill
from tests.bench.rows import Row, Target, row
from tests.support.commands import TIED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.bench import Bench

_COUNT, _FEW = 1_000_000, 100_000
_FIRST_JOB_S = 2.0
_POLL_S = 0.005
# A command that takes longer is killed; its row shows this limit.
_LIMIT_S = 120.0
_BACKFILL = ("backfill", "--url-field", "imageUrl", "--model", MODEL)
# VmHWM starts with the program. The kernel's peak for a child (ru_maxrss) starts with the memory of its parent.
_MEASURED = """
import atexit, sys
from producer.cli.main import main

def report():
    peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
    sys.stderr.write(f"\\n{peak}")

atexit.register(report)
main()
"""
_KIB = 1024


def rows(bench: Bench) -> Iterator[Row]:
    """Measure each command in a process of its own, first on few documents, then on many."""
    few = {}
    for count in (_FEW, _COUNT):
        fresh, old = _Collection(bench, "fresh", count), _Collection(bench, "old", count)
        fresh.fill({"new": 1.0})
        old.fill({"done": 0.99, "failed": 0.005, "pending": 0.0025, "new": 0.0025})
        if count == _COUNT:
            yield from _first_jobs(fresh, old)
        commands = {"backfill": (*_BACKFILL, "--max-queued", "100000"), "retry": ("retry",), "sweep": ("sweep",)}
        commands |= {"failed": ("failed",), "status": ("status", "photo-00000007", "photo-00000008", "photo-x")}
        for name, arguments in commands.items():
            took_s, peak_mib = old.run(*arguments)
            if count == _COUNT:
                what = f"{name}, {count:,} documents, 99 % of them done"
                yield row(f"{what}: a complete run / {_LIMIT_S:g} s", "s", [(took_s, _LIMIT_S)])
                yield row(f"{what}: peak memory / {_FEW:,}", "MiB", [(peak_mib, few[name])], Target(most=1.1))
            few.setdefault(name, peak_mib)
        fresh.drop()
        old.drop()


def _first_jobs(fresh: _Collection, old: _Collection) -> Iterator[Row]:
    for collection, state in ((fresh, "all new"), (old, "99 % done")):
        for name, arguments in {"backfill": _BACKFILL, "retry": ("retry",), "sweep": ("sweep",)}.items():
            if collection is old or name == "backfill":
                pairs = [(collection.first_job_s(*arguments), _FIRST_JOB_S)]
                what = f"{name}, first job of {_COUNT:,} documents, {state} / {_FIRST_JOB_S:g} s"
                yield row(what, "s", pairs, Target(most=1.0))


class _Collection:
    """A collection of many documents, with an empty queue before each command."""

    def __init__(self, bench: Bench, name: str, count: int) -> None:
        self._bench = bench
        self._name = f"{name}_{count}"
        self._count = count
        uri = bench.stack.mongodb_uri.rpartition("/")[0] + "/many"
        self._env = {
            **bench.stack.environment(),
            "MONGODB_URI": uri,
            "CLIPQUEUE_COLLECTION": self._name,
            "REDIS_URL": bench.stack.redis_url,
        }

    def fill(self, shares: dict[Kind, float]) -> None:
        database = self._bench.mongo["many"]
        fill(database[self._name], self._bench.folder / "stack" / "mongo" / "many.db", self._count, shares)
        database[self._name].create_index("embedding_job.status")

    def drop(self) -> None:
        self._bench.mongo["many"][self._name].drop()

    def first_job_s(self, *arguments: str) -> float:
        """Return the seconds from the start of the command to the first message on the queue."""
        self._bench.broker.flushdb()
        start = time.perf_counter()
        process = self._start(*arguments)
        while not self._bench.queued() and process.poll() is None and time.perf_counter() < start + _LIMIT_S:
            time.sleep(_POLL_S)
        took_s = time.perf_counter() - start
        process.kill()
        _, errors = process.communicate()
        if not self._bench.queued() and took_s < _LIMIT_S:
            raise RuntimeError(f"{arguments[0]} enqueued nothing: {errors}")
        self._wait_until_mongodb_is_idle()
        return took_s

    def run(self, *arguments: str) -> tuple[float, float]:
        """Return the seconds and the peak memory in MiB of a complete run, or up to the limit."""
        self._bench.broker.flushdb()
        start = time.perf_counter()
        process = self._start(*arguments)
        try:
            _, errors = process.communicate(timeout=_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            self._wait_until_mongodb_is_idle()
            return _LIMIT_S, float("nan")
        sys.stderr.write(f"{arguments[0]}, {self._count:,} documents: {errors}\n")
        return time.perf_counter() - start, int(errors.split()[-1]) / _KIB

    def _start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [*TIED, sys.executable, "-c", _MEASURED, *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, env=self._env, text=True, **pipes)  # type: ignore[call-overload, no-any-return]

    def _wait_until_mongodb_is_idle(self) -> None:
        """Wait for the query of a killed command, which the embedded server runs to its end."""
        self._bench.mongo["many"].command("ping")
        self._bench.mongo["many"][self._name].find_one({"_id": "photo-00000000"})
