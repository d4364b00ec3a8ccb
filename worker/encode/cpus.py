"""How many processors this process may use: what PyTorch and the decoding processes are sized by."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def usable_cpus(quota: Path = _QUOTA) -> int:
    """Return how many processors this process may use, at least 1.

    A container's share of a large machine counts (`docker run --cpus 2`), which PyTorch and `os.cpu_count` do not see:
    they start a thread for each processor of the machine, and those wait for each other.

    Args:
        quota: The file where Linux says it (cgroup v2, `cpu.max`: microseconds of each period, or `max`).
    """
    affinity = getattr(os, "sched_getaffinity", None)
    count = len(affinity(0)) if affinity else os.cpu_count() or 1
    with suppress(OSError, ValueError):
        share, period = quota.read_text().split()
        count = min(count, round(int(share) / int(period)))
    return max(1, count)
