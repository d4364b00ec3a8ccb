"""What a text encoder takes and gives. Without torch, for the parts that only pass it on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Tokens:
    """A text as the model reads it.

    Attributes:
        ids: int64 of shape (context_length,), padded.
        count: How many of them are not padding.
        truncated: Whether the text is longer than the model's context, and was cut.
    """

    ids: NDArray[np.int64]
    count: int
    truncated: bool


class TextEncoder(Protocol):
    """Turns texts into vectors. One thread calls it."""

    @property
    def context_length(self) -> int:
        """The most tokens of a text."""
        ...

    def tokenize(self, text: str) -> Tokens:
        """Return the tokens of a text."""
        ...

    def encode(self, tokens: Sequence[Tokens], /) -> NDArray[np.float32]:
        """Return unit vectors of shape (n, dim). Raises OutOfMemory and EncoderBroken."""
        ...
