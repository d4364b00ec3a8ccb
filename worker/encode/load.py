"""How many images a worker may have in flight, and how many of them in one batch, so that the model keeps up."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from worker.settings import Settings


@dataclass(frozen=True)
class Load:
    """The images of one worker process.

    Attributes:
        batch_size: Maximum number of images in one forward pass.
        concurrency: Maximum number of images in flight.
        encode_s: Seconds that one image may wait for its vector.
    """

    batch_size: int = 1
    concurrency: int = 64
    encode_s: float = 12.0

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the load that the settings allow."""
        return cls(settings.batch_size, settings.concurrency, settings.encode_s)

    def largest_batch(self, threads: int) -> int:
        """Return the largest batch with which all model threads together hold at most half of the images in flight.

        The other half is fetched and decoded meanwhile.
        """
        return max(1, min(self.batch_size, self.concurrency // (2 * threads)))

    def fit(self, per_image_s: float, threads: int) -> Self:
        """Return the load that a model of this speed can serve.

        Each image waits at most half of `encode_s` for the model. With more images in flight, those of a slow model
        would time out, be retried, and never be done.

        Args:
            per_image_s: Seconds of a forward pass, for each image in it.
            threads: The number of concurrent forward passes.
        """
        concurrency = max(1, min(self.concurrency, int(self.encode_s / 2 / per_image_s)))
        fitting = replace(self, concurrency=concurrency)
        return replace(fitting, batch_size=fitting.largest_batch(threads))


def halvings(size: int) -> list[int]:
    """Return the sizes to try while the memory does not suffice: `size`, half of it, and so on down to 1."""
    return [size >> shift for shift in range(size.bit_length())]
