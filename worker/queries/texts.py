"""Embeds the texts of queries, those that wait together in one forward pass."""

from __future__ import annotations

import itertools
import logging
import time
from typing import TYPE_CHECKING

import numpy as np

from producer.contract.queries import Answer
from worker.errors import BadVector, EncodeFailed, EncoderBroken, OutOfMemory
from worker.queries.replies import packed, with_answer, with_code, with_error, with_unexpected

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from producer.contract.queries import Request
    from worker.encode.tokens import TextEncoder, Tokens
    from worker.queries.replies import Reply

logger = logging.getLogger(__name__)

_Text = tuple["Request", "Tokens"]


class TextAnswers:
    """Answers texts. One thread calls it.

    Args:
        encoder: The model's text tower.
        model: The model's name.

    Attributes:
        is_broken: Whether the encoder failed for good. Then this process answers no text any more.
        running_calls: The serial numbers of the encoder calls in progress.
    """

    def __init__(self, encoder: TextEncoder, model: str) -> None:
        self.is_broken = False
        self.running_calls: set[int] = set()
        self._call_numbers = itertools.count()
        self._encoder = encoder
        self._model = model

    def answer(self, requests: Sequence[Request]) -> list[Reply]:
        """Return the replies to texts; none if the encoder is broken, since the process ends."""
        replies, texts = [], []
        for request in requests:
            try:
                tokens = self._encoder.tokenize(request.query.words or "")
            except Exception as exc:  # noqa: BLE001  (one text must not cost the others their answers)
                replies.append(with_unexpected(request, exc))
                continue
            if tokens.truncated and not request.query.truncate:
                message = f"the text has more than the model's {self._encoder.context_length} tokens"
                replies.append(with_code(request, "text_too_long", "receive", message))
            else:
                texts.append((request, tokens))
        return replies + (self._embed(texts) if texts else [])

    def _embed(self, texts: list[_Text]) -> list[Reply]:
        start = time.perf_counter()
        try:
            vectors = self._call([tokens for _, tokens in texts])
        except EncoderBroken as exc:
            self.is_broken = True
            logger.critical("this process can no longer run the model: %s", exc)
            return []
        except Exception as exc:  # noqa: BLE001  (the thread must survive every text)
            return self._embed_one_by_one(texts, exc)
        took_ms = 1e3 * (time.perf_counter() - start)
        return [self._reply(*text, vector, len(texts), took_ms) for text, vector in zip(texts, vectors, strict=True)]

    def _call(self, tokens: list[Tokens]) -> NDArray[np.float32]:
        number = next(self._call_numbers)
        self.running_calls.add(number)
        try:
            return self._encoder.encode(tokens)
        finally:
            self.running_calls.remove(number)

    def _embed_one_by_one(self, texts: list[_Text], exc: Exception) -> list[Reply]:
        if len(texts) > 1:
            return [reply for text in texts for reply in self._embed([text])]
        request = texts[0][0]
        if isinstance(exc, OutOfMemory | MemoryError):
            return [with_error(request, EncodeFailed("the model has too little memory for this text"))]
        return [with_unexpected(request, exc)]

    def _reply(self, request: Request, tokens: Tokens, vector: NDArray[np.float32], batch: int, ms: float) -> Reply:
        if not np.isfinite(vector).all() or not vector.any():
            return with_error(request, BadVector("the model returned a vector that is zero or not finite"))
        facts = {"query": request.id, "tokens": tokens.count, "batch": batch, "encode_ms": round(ms, 1)}
        logger.info("query=%s text tokens=%d batch=%d encode=%.1fms", *facts.values(), extra=facts)
        answer = Answer(self._model, len(vector), tokens.count, packed(vector), tokens.truncated)
        return with_answer(request, answer)
