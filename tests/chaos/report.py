"""The report at the end of a scenario: each enqueued image has exactly one result, and the right one."""

from __future__ import annotations

import re
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.chaos.checks import find_error

if TYPE_CHECKING:
    from collections.abc import Collection

    from tests.chaos.cluster import Cluster
    from tests.chaos.ledger import Ledger

ENDED = {"embedding_job.status": {"$in": ["done", "failed"]}}

_MAX_SHOWN = 5
_QUIET_S = 1.5
_LOG_LINE = re.compile(r" job=(\S+) (done|skipped) ")


@dataclass(frozen=True)
class Report:
    """The results of a ledger's images.

    Attributes:
        images: The number of enqueued images.
        jobs: The number of enqueued jobs.
        done: The number of images with a vector.
        failed: The number of failed images by error code.
        missing: The ids without a result.
        wrong: One line for each document that is not as the ledger expects.
        embedded: How often workers embedded one of the images.
        skipped: How often a worker skipped a job that did not need to run.
        requeued_by_sweep: The number of jobs that the sweep requeued.
        left: The number of messages left on Redis, by key.
        unknown: The number of documents that nobody enqueued.
    """

    name: str
    images: int
    jobs: int
    done: int
    failed: Counter[str]
    missing: tuple[str, ...]
    wrong: tuple[str, ...]
    embedded: int
    skipped: int
    requeued_by_sweep: int
    left: dict[str, int]
    unknown: int
    folder: str

    @property
    def duplicates(self) -> int:
        """How many more times images were embedded than enqueued."""
        return max(0, self.embedded - self.jobs)

    def problems(self, allowed: Collection[str] = ()) -> list[str]:
        """Return one line for each kind of problem; jobs may have failed with the codes in `allowed`."""
        counts = {
            "images are missing": len(self.missing),
            "documents are wrong": len(self.wrong),
            "documents are unknown": self.unknown,
            "images have no status, or two": abs(self.images - self.done - self.failed.total() - len(self.missing)),
            "images failed without a reason": sum(count for code, count in self.failed.items() if code not in allowed),
            **{f"left on Redis in {key!r}": count for key, count in self.left.items()},
        }
        return [f"{count} {what}" for what, count in counts.items() if count]

    def assert_complete(self, *allowed: str) -> None:
        """Print the report; fail with it if there is a problem."""
        print(self)  # noqa: T201
        problems = self.problems(allowed)
        assert not problems, f"{'; '.join(problems)}\n{self}\nlogs: {self.folder}"

    def __str__(self) -> str:
        codes = ", ".join(f"{code} {count}" for code, count in sorted(self.failed.items())) or "none"
        left = ", ".join(f"{key} {count}" for key, count in self.left.items())
        lines = [
            self.name,
            f"images    {self.images} = done {self.done} + failed {self.failed.total()} + missing {len(self.missing)}",
            f"failed    {codes}",
            f"jobs      {self.jobs} enqueued, {self.requeued_by_sweep} requeued by the sweep",
            f"embedded  {self.embedded} times, of which {self.duplicates} duplicates; skipped {self.skipped} times",
            f"documents {len(self.wrong)} wrong, {self.unknown} unknown",
            f"left      {left}",
            *(f"missing:  {image_id}" for image_id in self.missing[:_MAX_SHOWN]),
            *(f"wrong:    {line}" for line in self.wrong[:_MAX_SHOWN]),
        ]
        return "\n  ".join(lines)


def wait_for_report(ledger: Ledger, seconds: float = 60.0) -> Report:
    """Wait until every image has a result and Redis stays empty, or `seconds` have passed; then make the report."""
    deadline = quiet_since = time.monotonic()
    deadline += seconds
    # A worker that was frozen may requeue jobs when it continues, so Redis must be empty for some time.
    while (now := time.monotonic()) < deadline and now - quiet_since < _QUIET_S:
        time.sleep(0.2)
        if not _is_quiet(ledger.cluster):
            quiet_since = time.monotonic()
    return make_report(ledger)


def make_report(ledger: Ledger) -> Report:
    """Return the report of the present state."""
    cluster = ledger.cluster
    found = {document["_id"]: document for document in cluster.collection.find()}
    ended = {one: found[one] for one in ledger.expected if _has_ended(found.get(one, {}))}
    errors = {one: find_error(cluster.app, ended[one], ledger.expected[one]) for one in ended}
    lines = Counter(kind for image_id, kind in _LOG_LINE.findall(cluster.worker_logs()) if image_id in ledger.expected)
    jobs = [document["embedding_job"] for document in ended.values()]
    return Report(
        name=ledger.name,
        images=len(ledger.expected),
        jobs=ledger.jobs,
        done=sum(job["status"] == "done" for job in jobs),
        failed=Counter(str(job.get("error", {}).get("code")) for job in jobs if job["status"] == "failed"),
        missing=tuple(one for one in ledger.expected if one not in ended),
        wrong=tuple(f"{one}: {error}" for one, error in errors.items() if error),
        embedded=lines["done"],
        skipped=lines["skipped"],
        requeued_by_sweep=cluster.requeued_by_sweep(),
        left=cluster.queued(),
        unknown=len(found.keys() - cluster.known_ids),
        folder=str(cluster.folder),
    )


def _is_quiet(cluster: Cluster) -> bool:
    # Redis first: MongoDB takes long to count many documents.
    return not any(cluster.queued().values()) and cluster.collection.count_documents(ENDED) >= len(cluster.known_ids)


def _has_ended(document: dict[str, Any]) -> bool:
    return document.get("embedding_job", {}).get("status") in ("done", "failed")
