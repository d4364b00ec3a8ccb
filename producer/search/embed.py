"""The part of a search that a worker does: turn a text or a picture into a vector."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from producer.contract.queries import Query

if TYPE_CHECKING:
    from producer.client.queries import QueryClient


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


class QueryEmbed:
    """Embeds with the workers that answer queries.

    Args:
        client: Asks them.
        text_timeout_s: Seconds to wait for the vector of a text.
        image_timeout_s: Seconds to wait for the vector of a picture.
    """

    def __init__(self, client: QueryClient, text_timeout_s: float = 5.0, image_timeout_s: float = 15.0) -> None:
        self._client = client
        self._text_timeout_s = text_timeout_s
        self._image_timeout_s = image_timeout_s

    def embed_text(self, text: str, model: str | None) -> Embedded:
        """Return the vector of a text. Raises what `QueryClient.ask` does."""
        return self._client.ask(Query.text(text, model), self._text_timeout_s)

    def embed_image(self, image: str | bytes, model: str | None) -> Embedded:
        """Return the vector of a picture. Raises what `QueryClient.ask` does."""
        query = Query.image_url(image, model) if isinstance(image, str) else Query.image_bytes(image, model)
        return self._client.ask(query, self._image_timeout_s)
