"""Enqueues the images of one scenario, and remembers the result that each must get."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.chaos.pictures import COUNT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.cluster import Cluster


@dataclass(frozen=True)
class Expected:
    """The result that an image's last job must have: the vector of this picture, or a failure with this code."""

    url: str
    picture: int
    code: str | None = None


class Ledger:
    """Enqueues images with ids that start with `name`.

    Attributes:
        expected: The expected result of each image, by id. The last enqueue counts.
        jobs: The number of enqueued jobs; an image that is enqueued twice has two.
    """

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster = cluster
        self.name = name
        self.expected: dict[str, Expected] = {}
        self.jobs = 0

    def enqueue(self, count: int, *, query: str = "", **options: bool) -> list[str]:
        """Enqueue `count` new images and return their ids."""
        ids = self.next_ids(count)
        self.enqueue_again(ids, query=query, **options)
        return ids

    def next_ids(self, count: int) -> list[str]:
        """Return `count` ids that this ledger has not enqueued yet."""
        first = len(self.expected)
        return [f"{self.name}-{number}" for number in range(first, first + count)]

    def enqueue_again(self, ids: list[str], *, shift: int = 0, query: str = "", **options: bool) -> None:
        """Enqueue images by id, with the picture whose number is `shift` higher than that of the first enqueue."""
        expected = {image_id: self._expect_picture(image_id, shift, query) for image_id in ids}
        self._enqueue(expected, options)

    def enqueue_failing(self, count: int, route: str, code: str) -> None:
        """Enqueue images of a route that never serves an image; they must fail with `code`."""
        ids = [f"{self.name}-{route}-{number}" for number in range(count)]
        expected = {
            image_id: Expected(f"{self.cluster.images_url}/{route}/{image_id}.jpg", 0, code) for image_id in ids
        }
        self._enqueue(expected, {})

    def forget(self, count: int) -> None:
        """Forget the last `count` images, which Redis refused for certain."""
        for image_id in list(self.expected)[-count:]:
            del self.expected[image_id]
            self.cluster.known_ids.discard(image_id)

    @contextmanager
    def enqueue_into_a_frozen_pop(self) -> Iterator[int]:
        """Freeze the only worker while it waits for a message, so that Redis pops one for it. Yields how many."""
        (worker,) = self.cluster.workers
        # The command ends after some seconds without a message, so it may end before the worker freezes.
        for _ in range(20):
            self.cluster.await_pending_pop()
            with worker.frozen():
                self.enqueue(15)
                if popped := self.cluster.queued()["popped"]:
                    yield popped
                    return
        raise AssertionError("the worker was never frozen while it waited for a message")

    def _expect_picture(self, image_id: str, shift: int, query: str) -> Expected:
        number = (int(image_id.rpartition("-")[2]) + shift) % COUNT
        return Expected(f"{self.cluster.images_url}/{number}/{image_id}.jpg{query}", number)

    def _enqueue(self, expected: dict[str, Expected], options: dict[str, Any]) -> None:
        # Before the enqueue: a job that Redis may have accepted must get its result too.
        self.expected |= expected
        self.cluster.known_ids |= set(expected)
        self.jobs += self.cluster.client.enqueue_many(((one, found.url) for one, found in expected.items()), **options)
