"""The part of a search that a worker does: turn a text or a picture into a vector."""

from __future__ import annotations

from typing import Protocol


class Embedded(Protocol):
    """The vector of a text or a picture, as `producer.contract.queries.Answer` has it."""

    @property
    def model(self) -> str:
        """The model's id."""
        ...

    @property
    def vector(self) -> bytes:
        """The vector as little-endian float32."""
        ...


class Embed(Protocol):
    """Embeds one text or picture. Both methods may raise any ClipqueueError.

    Args of both: `model` is the id of the model that must do it; None leaves the choice to the workers.
    """

    def embed_text(self, text: str, model: str | None) -> Embedded:
        """Return the vector of a text."""
        ...

    def embed_image(self, image: str | bytes, model: str | None) -> Embedded:
        """Return the vector of a picture: its URL, or its bytes."""
        ...
