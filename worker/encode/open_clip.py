"""Runs an open_clip model: pixels or texts in, unit vectors out."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from worker.encode.device import MEASURED_BATCH, CpuShares, cast_model, choose_device, move_to_device
from worker.encode.weights import load_model, load_tokenizer, model_id
from worker.errors import EncoderBroken, ModelUnavailable, OutOfMemory
from worker.spec import PreprocessSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from worker.settings import Settings


@dataclass(frozen=True)
class EncoderConfig:
    """Which model to run, where and how. Each field is described at the setting that `of` reads.

    Attributes:
        threads: How many threads call `encode` at the same time; 0 chooses a number for the device. None means one
            caller, and leaves PyTorch's thread count unchanged.
    """

    model: str
    pretrained: str
    device: str = "auto"
    precision: str = "auto"
    threads: int | None = None

    @classmethod
    def of(cls, settings: Settings) -> EncoderConfig:
        """Return the configuration that the worker's settings choose."""
        return cls(
            settings.clip_model,
            settings.clip_pretrained,
            settings.device,
            settings.precision,
            settings.model_threads,
        )


class OpenClipEncoder:
    """Encodes batches of images with one open_clip model.

    Attributes:
        model_id: The model's name in documents, such as `ViT-B-32-quickgelu/openai`.
        dim: The length of a vector.
        spec: The size and the resizing of the pixels that the model takes.
        device: Where the model runs, such as `cpu` or `cuda`.
        threads: How many threads may call `encode` at the same time.
        precision: `fp32`, `bf16` or `fp16`.
        precision_reason: Why it runs in this precision, in words.
        parameters: The number of the model's parameters.

    Raises:
        ModelUnavailable: The model cannot be loaded; the message says what to set.
    """

    def __init__(self, config: EncoderConfig) -> None:
        self.device = choose_device(config.device)
        self._cpu_shares = CpuShares(self.device, config.threads)
        self.threads = self._cpu_shares.threads
        model = load_model(config.model, config.pretrained)
        self.model_id = model_id(config.model, config.pretrained)
        self.spec, mean, std = _read_preprocessing(model.visual.preprocess_cfg, config.model)
        self.parameters = sum(parameter.numel() for parameter in model.parameters())
        # Before anything else uses the device, because only the error of this call names CLIPQUEUE_DEVICE.
        model = move_to_device(model, self.device)
        self._name = config.model
        self._tokenize: Callable[[list[str]], Any] | None = None
        self._mean = torch.tensor(mean, device=self.device).view(1, 3, 1, 1) * 255
        self._std = torch.tensor(std, device=self.device).view(1, 3, 1, 1) * 255
        cast = cast_model(
            model,
            config.precision,
            lambda candidate: self._run(candidate, self._blank_batch(MEASURED_BATCH)),
        )
        self._model, self.precision, self.precision_reason = cast.model, cast.precision, cast.reason
        self.dim = int(self._forward(self._blank_batch(1)).shape[1])

    def encode(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the unit vectors of a batch of images.

        Args:
            pixels: uint8 of shape (n, height, width, 3), RGB.

        Returns:
            float32 of shape (n, dim), each row of length 1.

        Raises:
            OutOfMemory: The batch is too large for the device.
            EncoderBroken: This process can no longer use the device.
        """
        try:
            with self._cpu_shares.take():
                return self._forward(pixels)
        except (RuntimeError, MemoryError) as exc:
            error = _classify(exc)
            if error is None:
                raise
        raise error  # outside `except`, or PyTorch's error would become its context and keep the tensors in memory

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the unit vectors of texts. Their dot product with an image's vector is the cosine similarity.

        Args:
            texts: Search texts. A text that is longer than the model's context is truncated.

        Returns:
            float32 of shape (n, dim), each row of length 1.

        Raises:
            ModelUnavailable: The model's tokenizer cannot be loaded; some come from a hub, or need transformers.
        """
        if self._tokenize is None:
            self._tokenize = load_tokenizer(self._name)
        with torch.inference_mode():
            return _normalize(self._model.encode_text(self._tokenize(list(texts)).to(self.device)))

    def warm_up(self, batch_size: int) -> float:
        """Run the largest batch, so that no job waits for PyTorch's one-time initialisation.

        `__init__` has run the smallest batch already, to read `dim`.

        Returns:
            Seconds per image in the largest batch.
        """
        self._forward(self._blank_batch(batch_size))
        start = time.perf_counter()
        self._forward(self._blank_batch(batch_size))
        return (time.perf_counter() - start) / batch_size

    def describe(self) -> str:
        """Return dimension, device, threads and precision for the log."""
        where = f"device={self.device} threads={self.threads}x{self._cpu_shares.cores_each}"
        return f"dim={self.dim} {where} precision={self.precision} ({self.precision_reason})"

    def _forward(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self._run(self._model, pixels)

    def _run(self, model: Any, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        dtype = next(model.parameters()).dtype
        with torch.inference_mode():
            images = self._upload(pixels).permute(0, 3, 1, 2).float()
            return _normalize(model.encode_image(images.sub_(self._mean).div_(self._std).to(dtype)))

    def _upload(self, pixels: NDArray[np.uint8]) -> torch.Tensor:
        images = torch.from_numpy(pixels)
        if self.device == "cuda":
            # From pinned memory the GPU copies by DMA, and this thread does not wait; the CUDA stream keeps the order.
            return images.pin_memory().to(self.device, non_blocking=True)
        return images.to(self.device)

    def _blank_batch(self, size: int) -> NDArray[np.uint8]:
        return np.full((size, self.spec.height, self.spec.width, 3), 127, np.uint8)


def _normalize(features: torch.Tensor) -> NDArray[np.float32]:
    vectors: NDArray[np.float32] = torch.nn.functional.normalize(features.float(), dim=-1).cpu().numpy()
    return vectors


def _classify(exc: RuntimeError | MemoryError) -> OutOfMemory | EncoderBroken | None:
    """Return what PyTorch's error means for the batcher, or None.

    Most PyTorch errors have the same type, so only their texts tell them apart.
    """
    reason = str(exc).partition("\n")[0]
    if (
        isinstance(exc, MemoryError | torch.OutOfMemoryError)
        or "not enough memory" in reason
        or "t allocate memory" in reason
    ):
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return OutOfMemory(reason)
    # A CUDA error stays with the process's CUDA context: every later call fails too.
    return EncoderBroken(reason) if "CUDA error" in reason else None


def _read_preprocessing(config: dict[str, Any], name: str) -> tuple[PreprocessSpec, list[float], list[float]]:
    """Return the input spec, and the mean and standard deviation per channel, all from the model's own config."""
    size = config["size"]
    height, width = size if isinstance(size, tuple | list) else (size, size)
    mode, interpolation = config["resize_mode"], config["interpolation"]
    if mode not in ("shortest", "squash") or interpolation not in ("bicubic", "bilinear"):
        raise ModelUnavailable(
            f"The model {name} needs its images resized by {mode!r} with {interpolation!r}, which clipqueue does "
            "not support. Choose another model with CLIP_MODEL."
        )
    return PreprocessSpec(height, width, mode, interpolation), list(config["mean"]), list(config["std"])
