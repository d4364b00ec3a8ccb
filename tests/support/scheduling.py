"""How pytest-xdist distributes the tests to its processes."""

from __future__ import annotations

from xdist.scheduler import LoadFileScheduling

# Their only expensive fixture is the cluster, one for each process, and most of them wait for a long time.
_DISTRIBUTED_ONE_BY_ONE = "tests/chaos/"
# They share one browser, one worker and one API.
_TOGETHER = "tests/producer/page/"


class FileScheduling(LoadFileScheduling):
    """Runs a file's tests in one process, because many fixtures of a module are expensive; except the chaos tests.

    Work units with many tests come first, so the chaos tests come last and fill the gaps between the processes.
    """

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(_TOGETHER):
            return _TOGETHER
        return nodeid if nodeid.startswith(_DISTRIBUTED_ONE_BY_ONE) else super()._split_scope(nodeid)
