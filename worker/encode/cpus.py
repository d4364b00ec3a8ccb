"""Counts the CPU cores that this process may use. PyTorch's threads and the decoding processes depend on it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_CGROUP_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def usable_cpus(quota_file: Path = _CGROUP_QUOTA) -> int:
    """Return the number of CPU cores that this process may use, at least 1.

    PyTorch and `os.cpu_count` ignore a container's CPU limit (`docker run --cpus 2`). PyTorch would start a thread for
    each core of the host, and these threads would then wait for each other.

    Args:
        quota_file: The cgroup v2 file `cpu.max`. It holds the quota (or `max`) and the period, both in microseconds.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    count = len(affinity(0)) if affinity else os.cpu_count() or 1
    with suppress(OSError, ValueError):
        quota, period = quota_file.read_text().split()
        count = min(count, round(int(quota) / int(period)))
    return max(1, count)
