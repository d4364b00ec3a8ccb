"""The commands on a million documents in the embedded MongoDB: time to the first job, and peak memory.

The reference of the memory is the same command on a tenth of the documents.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
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
_COMMAND = (*TIED, sys.executable, "-m", "producer")
# A command that takes longer is killed; its row shows this limit. Such are `backfill` and `retry`: for each page after
# the first, which has a range of ids, the embedded server reads the whole collection. MongoDB does not.
_LIMIT_S = 60.0
_BACKFILL = ("backfill", "--url-field", "imageUrl", "--model", MODEL)
_ONE_JOB = {
    "backfill": (*_BACKFILL, "--limit", "1"),
    "retry": ("retry", "--limit", "1"),
    "sweep": ("sweep", "--max-queued", "1"),
}
_KIB = 1024


def rows(bench: Bench) -> Iterator[Row]:
    """Measure each command in a process of its own, first on few documents, then on many."""
    few: dict[str, float] = {}
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
                yield row(f"{what}: until its end / {_LIMIT_S:g} s", "s", [(took_s, _LIMIT_S)])
                yield row(f"{what}: peak memory / {_FEW:,}", "MiB", [(peak_mib, few[name])], Target(most=1.1))
            few.setdefault(name, peak_mib)
        fresh.drop()
        old.drop()


def _first_jobs(fresh: _Collection, old: _Collection) -> Iterator[Row]:
    for collection, state in ((fresh, "all new"), (old, "99 % done")):
        for name, arguments in _ONE_JOB.items():
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
        done = subprocess.run(
            [*_COMMAND, "index", "create"], env=self._env, check=False, capture_output=True, text=True
        )
        sys.stderr.write(done.stdout + done.stderr)

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
        """Return the seconds that the command takes, up to the limit, and its peak memory in MiB until then."""
        self._bench.broker.flushdb()
        start = time.perf_counter()
        process = self._start(*arguments)
        peak_mib = 0.0
        while process.poll() is None and time.perf_counter() < start + _LIMIT_S:
            peak_mib = _peak_mib(process.pid) or peak_mib
            time.sleep(_POLL_S)
        took_s = time.perf_counter() - start
        process.kill()
        output, errors = process.communicate()
        sys.stderr.write(f"{arguments[0]}, {self._count:,} documents, {took_s:.1f} s: {output[:200]} {errors[:500]}\n")
        self._wait_until_mongodb_is_idle()
        return took_s, peak_mib

    def _start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [*_COMMAND, *arguments]
        return subprocess.Popen(command, env=self._env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def _wait_until_mongodb_is_idle(self) -> None:
        """Wait for the query of a killed command, which the embedded server runs to its end."""
        self._bench.mongo["many"].command("ping")
        self._bench.mongo["many"][self._name].find_one({"_id": "photo-00000000"})


def _peak_mib(pid: int) -> float | None:
    """Return the peak memory of a process that runs.

    VmHWM starts with the program. The kernel's peak for a child (ru_maxrss) starts with the memory of its parent.
    """
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / _KIB for line in lines if line.startswith("VmHWM")), None)
