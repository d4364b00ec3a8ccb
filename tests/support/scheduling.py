"""How pytest-xdist distributes the tests to its processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xdist.scheduler import LoadFileScheduling

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

# Their only expensive fixture is the cluster, one for each process, and most of them wait for a long time.
_DISTRIBUTED_ONE_BY_ONE = "tests/chaos/"
# They share one browser, one worker and one API.
_TOGETHER = "tests/producer/page/"
# The slowest files, slowest first. Most have few tests and would come last, and the run would wait for them.
SLOW = (
    "tests/worker/encode/test_vectors.py",
    _TOGETHER,
    "tests/producer/js/test_api_client.py",
    "tests/worker/encode/test_hub.py",
    "tests/test_portability.py",
    "tests/worker/test_concurrency.py",
    "tests/worker/test_start.py",
    "tests/producer/local/test_demo.py",
    "tests/worker/encode/test_default_model.py",
    "tests/producer/local/test_guardian.py",
    "tests/test_killed_test_run.py",
    "tests/producer/local/test_up.py",
    "tests/worker/encode/test_small_model.py",
    "tests/worker/test_node_names.py",
    "tests/worker/test_mongodb_outage.py",
    "tests/worker/broker/test_poison.py",
    "tests/producer/api/test_openapi.py",
    "tests/worker/test_command_costs.py",
    "tests/worker/test_ended_events.py",
    "tests/worker/test_health.py",
    "tests/end_to_end/test_small_model.py",
)


class FileScheduling(LoadFileScheduling):
    """Runs a file's tests in one process, because many fixtures of a module are expensive; except the chaos tests.

    The slowest files come first, then those with many tests, so short ones and the chaos tests come last and fill the
    gaps between the processes.
    """

    def _assign_work_unit(self, node: WorkerController) -> None:
        slowest = next((scope for scope in SLOW if scope in self.workqueue), None)
        if slowest:
            self.workqueue.move_to_end(slowest, last=False)
        super()._assign_work_unit(node)

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(_TOGETHER):
            return _TOGETHER
        return nodeid if nodeid.startswith(_DISTRIBUTED_ONE_BY_ONE) else super()._split_scope(nodeid)
