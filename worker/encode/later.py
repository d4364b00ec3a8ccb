"""Loads the image tower with the first picture, for a worker that answers queries only: most of them are texts."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from worker.encode.batcher import Encoder


class LaterEncoder:
    """An `Encoder` that is loaded when it is needed. Thread-safe.

    Args:
        make: Loads the encoder.
    """

    def __init__(self, make: Callable[[], Encoder]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._encoder: Encoder | None = None

    def load(self) -> Encoder:
        """Return the encoder; the first call loads it, which takes seconds. Raises ModelUnavailable."""
        with self._lock:
            if self._encoder is None:
                self._encoder = self._make()
            return self._encoder

    def encode(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the unit vectors of a batch of images."""
        return self.load().encode(pixels)
