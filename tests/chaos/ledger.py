"""What was enqueued in one scenario, and what must come of each image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.chaos.pictures import COUNT

if TYPE_CHECKING:
    from tests.chaos.cluster import Cluster


@dataclass(frozen=True)
class Expected:
    """What an image's last job must end as: this picture's vector for this URL, or a failure with this code."""

    url: str
    picture: int
    code: str | None = None


class Ledger:
    """Enqueues images under a name of their own and remembers what it asked for.

    Attributes:
        expected: By image id, what its last enqueue asked for.
        jobs: How many jobs were enqueued; more than there are images, if some were enqueued again.
    """

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster = cluster
        self.name = name
        self.expected: dict[str, Expected] = {}
        self.jobs = 0

    def enqueue(self, count: int, *, query: str = "", **options: bool) -> list[str]:
        """Enqueue so many new images, and return their ids."""
        ids = self.next_ids(count)
        self.enqueue_again(ids, query=query, **options)
        return ids

    def next_ids(self, count: int) -> list[str]:
        """Return ids that this ledger has not enqueued yet."""
        first = len(self.expected)
        return [f"{self.name}-{number}" for number in range(first, first + count)]

    def enqueue_again(self, ids: list[str], *, shift: int = 0, query: str = "", **options: bool) -> None:
        """Enqueue images by id, with a picture that is `shift` further on than their first."""
        wanted = {image_id: self._picture_of(image_id, shift, query) for image_id in ids}
        self._push(wanted, options)

    def enqueue_failing(self, count: int, place: str, code: str) -> None:
        """Enqueue images of a path that never answers with one, and must fail with `code`."""
        ids = [f"{self.name}-{place}-{number}" for number in range(count)]
        self._push({one: Expected(f"{self.cluster.images_url}/{place}/{one}.jpg", 0, code) for one in ids}, {})

    def _picture_of(self, image_id: str, shift: int, query: str) -> Expected:
        number = (int(image_id.rpartition("-")[2]) + shift) % COUNT
        return Expected(f"{self.cluster.images_url}/{number}/{image_id}.jpg{query}", number)

    def _push(self, wanted: dict[str, Expected], options: dict[str, bool]) -> None:
        # Noted before: a job that may have been enqueued is one to report for.
        self.expected |= wanted
        self.cluster.known_ids |= set(wanted)
        self.jobs += self.cluster.client.enqueue_many(((one, found.url) for one, found in wanted.items()), **options)
