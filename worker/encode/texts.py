"""Runs the text tower of an open_clip model, and cuts texts at their end where that gives the same vector.

Most towers are causal: a token sees only those before it, and the vector is that of the end token. All that follows is
padding, which a forward pass of the full length would compute for nothing.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from worker.encode.device import current_device
from worker.encode.failures import call_on_device
from worker.encode.tokens import Tokens
from worker.errors import EncoderError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from worker.encode.device import CpuShares

logger = logging.getLogger(__name__)

_TRIAL_TEXTS = ("a red bicycle", "two people at night in front of an old house, black and white", "x " * 1000)
_MAX_COSINE_DIFFERENCE = 1e-4


class TextTower:
    """A `TextEncoder` with one open_clip model.

    Args:
        model: The model in its precision, on its device.
        tokenizer: From a list of texts to token ids.
        device: Where the model is.
        cores: Sets PyTorch's thread count.

    Attributes:
        context_length: The most tokens of a text.
        cuts: Whether texts are cut at their end.
    """

    def __init__(self, model: Any, tokenizer: Callable[..., Any], device: str, cores: CpuShares) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._device = device
        self._cores = cores
        # Its kernels go before those of image batches that the GPU has not started.
        is_cuda = device.startswith("cuda")
        self._stream = torch.cuda.Stream(device, priority=-1) if is_cuda else None  # type: ignore[no-untyped-call]
        if is_cuda:
            torch.cuda.synchronize(device)  # the weights may still be on their way there, on another stream
        empty = tokenizer([""])[0]
        self.context_length = len(empty)
        self._padding = int(empty[-1])
        self.cuts = False
        self.cuts = self._may_cut()
        trial = [self.tokenize(_TRIAL_TEXTS[0])]
        cores.choose_rest(lambda: self._run(trial))

    def tokenize(self, text: str) -> Tokens:
        """Return the tokens of a text; a text that is longer than the context is truncated as open_clip does it."""
        ids = self._tokenizer([text])[0].numpy()
        is_token = ids != self._padding
        count = int(np.flatnonzero(is_token)[-1]) + 1 if is_token.any() else 1
        return Tokens(ids, count, count >= self.context_length - 1 and self._is_longer(text, ids))

    def encode(self, tokens: Sequence[Tokens]) -> NDArray[np.float32]:
        """Return the unit vectors of texts, from one forward pass.

        Returns:
            float32 of shape (n, dim).

        Raises:
            OutOfMemory: The texts are too many for the device.
            EncoderBroken: This process can no longer use the device.
        """
        with self._cores.take_rest():
            return call_on_device(lambda: self._run(tokens))

    def _is_longer(self, text: str, ids: NDArray[np.int64]) -> bool:
        """Return whether a text that fills the context is longer: with one more place, its end token moves."""
        longer = self._tokenizer([text], context_length=self.context_length + 1)[0]
        return int(longer[self.context_length - 1]) != int(ids[-1])

    def _run(self, tokens: Sequence[Tokens]) -> NDArray[np.float32]:
        length = max(text.count for text in tokens) if self.cuts else self.context_length
        ids = torch.from_numpy(np.stack([text.ids[:length] for text in tokens]))
        ends = torch.tensor([text.count - 1 for text in tokens])
        with torch.inference_mode(), current_device(self._device), self._own_stream():
            ids, ends = ids.to(self._device), ends.to(self._device)
            features = self._encode_cut(ids, ends) if self.cuts else self._model.encode_text(ids)
            vectors: NDArray[np.float32] = torch.nn.functional.normalize(features.float(), dim=-1).cpu().numpy()
        return vectors

    def _encode_cut(self, ids: Any, ends: Any) -> Any:
        """Do what `encode_text` does, which takes the full length only."""
        tower, length = getattr(self._model, "text", self._model), ids.shape[1]
        x = tower.token_embedding(ids)
        x = x + tower.positional_embedding[:length].to(x.dtype)
        x = tower.transformer(x, attn_mask=tower.attn_mask[:length, :length])
        x = tower.ln_final(x[torch.arange(len(ids), device=ids.device), ends])
        projection = tower.text_projection
        return projection(x) if isinstance(projection, torch.nn.Linear) else x @ projection

    def _may_cut(self) -> bool:
        """Return whether the vectors of cut texts are the same. Other kinds of towers fail here, or differ."""
        texts = [self.tokenize(text) for text in _TRIAL_TEXTS]
        full = call_on_device(lambda: self._run(texts))
        self.cuts = True
        try:
            cut = np.concatenate([call_on_device(partial(self._run, [text])) for text in texts])
        except EncoderError:
            raise
        except Exception as exc:  # noqa: BLE001  (another tower lacks a part, or has it in another form)
            logger.debug("texts are not cut: %s: %s", type(exc).__name__, exc)
            return False
        return bool(((full * cut).sum(axis=1) > 1 - _MAX_COSINE_DIFFERENCE).all())

    @contextmanager
    def _own_stream(self) -> Iterator[None]:
        with torch.cuda.stream(self._stream) if self._stream else nullcontext():
            yield
