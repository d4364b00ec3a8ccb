"""Runs an open_clip model: pixels or texts in, unit vectors out."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
import torch

from worker.encode.device import CpuShares, choose_device, current_device
from worker.encode.failures import call_on_device
from worker.encode.load import Load, halvings
from worker.encode.precision import cast_model
from worker.encode.texts import TextTower
from worker.encode.weights import load_model, load_tokenizer, model_id
from worker.errors import EncoderError, ModelUnavailable, OutOfMemory
from worker.spec import PreprocessSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from worker.settings import Settings

logger = logging.getLogger(__name__)
T = TypeVar("T")
Tower = Literal["both", "text", "image"]


@dataclass(frozen=True)
class EncoderConfig:
    """Which model to run, where and how. Each field is described at the setting that `of` reads.

    Attributes:
        threads: How many threads call `encode` at the same time; 0 chooses a number for the device. None means one
            caller, and leaves PyTorch's thread count unchanged.
        load: The images that the worker may have in flight. The precision is measured with the batch that fits.
        tower: Keep only this tower of the model in memory; by default both.
    """

    model: str
    pretrained: str
    device: str = "auto"
    precision: str = "auto"
    threads: int | None = None
    load: Load = field(default_factory=Load)
    tower: Tower = "both"

    @classmethod
    def of(cls, settings: Settings, tower: Tower = "both") -> EncoderConfig:
        """Return the configuration that the worker's settings choose."""
        return cls(
            settings.clip_model,
            settings.clip_pretrained,
            settings.device,
            settings.precision,
            settings.model_threads,
            Load.of(settings),
            tower,
        )


class OpenClipEncoder:
    """Encodes batches of images with one open_clip model.

    Attributes:
        model_id: The model's name in documents, such as `ViT-B-32-quickgelu/openai`.
        dim: The length of a vector.
        spec: The size and the resizing of the pixels that the model takes.
        device: Where the model runs, such as `cpu` or `cuda:1`.
        threads: How many threads may call `encode` at the same time.
        precision: `fp32`, `bf16` or `fp16`.
        precision_reason: Why it runs in this precision, in words.
        parameters: The number of the model's parameters.
        batch_size: The number of images in a worker's largest batch. `auto` precision is measured with this batch.

    Raises:
        ModelUnavailable: The model cannot be loaded, or not on this device; the message says what to set.
    """

    def __init__(self, config: EncoderConfig) -> None:
        self.device = choose_device(config.device)
        self._cpu_shares = CpuShares(self.device, config.threads)
        self.threads = self._cpu_shares.threads
        model = load_model(config.model, config.pretrained)
        self.model_id = model_id(config.model, config.pretrained)
        self.spec, mean, std = _read_preprocessing(model.visual.preprocess_cfg, config.model)
        self.parameters = sum(parameter.numel() for parameter in model.parameters())
        _keep(model, config.tower)
        self._name = config.model
        self._has_images = config.tower != "text"
        self._tokenize: Callable[..., Any] | None = None
        self._texts: TextTower | None = None
        self._mean = torch.tensor(mean, device=self.device).view(1, 3, 1, 1) * 255
        self._std = torch.tensor(std, device=self.device).view(1, 3, 1, 1) * 255
        self._model = self._on_device(lambda: model.to(self.device))
        self.dim = int(self._on_device(lambda: self._noise_run(1)(self._model)).shape[1])
        self.batch_size = config.load.largest_batch(self.threads) if self._has_images else 1
        if config.precision == "auto" and self._has_images:
            self.batch_size = self._fit_batch(config.load)
        cast = cast_model(self._model, config.precision, self.device, self._noise_run, self.batch_size)
        self._model, self.precision, self.precision_reason = cast.model, cast.precision, cast.reason

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
        with self._cpu_shares.take():
            return call_on_device(lambda: self._forward(pixels))

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the unit vectors of texts. Their dot product with an image's vector is the cosine similarity.

        Args:
            texts: Search texts. A text that is longer than the model's context is truncated.

        Returns:
            float32 of shape (n, dim), each row of length 1.

        Raises:
            ModelUnavailable: The model's tokenizer cannot be loaded; some come from a hub, or need transformers.
        """
        with torch.inference_mode():
            return _normalize(self._model.encode_text(self._tokenizer(list(texts)).to(self.device)))

    @property
    def texts(self) -> TextTower:
        """The text tower, for queries. The first use loads the tokenizer and tries the tower.

        Raises:
            ModelUnavailable: The model's tokenizer cannot be loaded.
        """
        if self._texts is None:
            tokenizer = self._tokenizer
            self._texts = self._on_device(lambda: TextTower(self._model, tokenizer, self.device, self._cpu_shares))
        return self._texts

    @property
    def _tokenizer(self) -> Callable[..., Any]:
        if self._tokenize is None:
            self._tokenize = load_tokenizer(self._name)
        return self._tokenize

    def warm_up(self) -> float:
        """Run the largest batch that fits into the memory, so that no job waits for PyTorch's one-time initialisation.

        `__init__` has run the smallest batch already, to read `dim`.

        Returns:
            Seconds per image in that batch.

        Raises:
            ModelUnavailable: The memory does not suffice for a single image.
        """
        for size in halvings(self.batch_size)[:-1]:
            try:
                return call_on_device(partial(self._warm_time_s, size)) / size
            except OutOfMemory as exc:
                logger.warning("out of memory with a batch of %d images at the start; trying half: %s", size, exc)
        return self._on_device(partial(self._warm_time_s, 1))

    def _fit_batch(self, load: Load) -> int:
        """Return the largest batch with which the model keeps up in its present precision."""
        size = load.largest_batch(self.threads)
        while size > 1:
            try:
                per_image_s = call_on_device(partial(self._warm_time_s, size)) / size
            except OutOfMemory:
                break  # the memory may be short for a while only
            fitting = load.fit(per_image_s, self.threads).batch_size
            if fitting >= size:
                break
            size = fitting
        return size

    def describe(self) -> str:
        """Return dimension, device, threads and precision for the log."""
        where = f"device={self.device} threads={self.threads}x{self._cpu_shares.cores_each}"
        return f"dim={self.dim} {where} precision={self.precision} ({self.precision_reason})"

    def _forward(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self._run(self._model, pixels)

    def _run(self, model: Any, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        dtype = next(model.parameters()).dtype
        with torch.inference_mode(), current_device(self.device):
            images = self._upload(pixels).permute(0, 3, 1, 2).float()
            return _normalize(model.encode_image(images.sub_(self._mean).div_(self._std).to(dtype)))

    def _upload(self, pixels: NDArray[np.uint8]) -> torch.Tensor:
        images = torch.from_numpy(pixels)
        if self.device.startswith("cuda"):
            # From pinned memory the GPU copies by DMA, and this thread does not wait; the CUDA stream keeps the order.
            return images.pin_memory().to(self.device, non_blocking=True)
        return images.to(self.device)

    def _noise_run(self, size: int) -> Callable[[Any], NDArray[np.float32]]:
        """Make a batch of noise, and return a function that runs a model on it."""
        if not self._has_images:
            return partial(self._run_tokens, self._tokenizer(["a"] * size))
        pixels = self._noise(size)
        return lambda model: self._run(model, pixels)

    def _run_tokens(self, tokens: torch.Tensor, model: Any) -> NDArray[np.float32]:
        with torch.inference_mode(), current_device(self.device):
            return _normalize(model.encode_text(tokens.to(self.device)))

    def _noise(self, size: int) -> NDArray[np.uint8]:
        shape = (size, self.spec.height, self.spec.width, 3)
        return np.random.default_rng(1).integers(0, 255, shape, dtype=np.uint8)

    def _warm_time_s(self, size: int) -> float:
        """Return the seconds that a batch takes: the faster of two runs, of which the first one may also warm up."""
        pixels = self._noise(size)
        times = []
        for _ in range(2):
            start = time.perf_counter()
            self._forward(pixels)
            times.append(time.perf_counter() - start)
        return min(times)

    def _on_device(self, function: Callable[[], T]) -> T:
        """Call a function without which the worker cannot start."""
        try:
            return call_on_device(function)
        except EncoderError as exc:
            raise ModelUnavailable(
                f"The model {self.model_id} cannot run on {self.device}: {exc}. Free memory there, or set "
                "CLIPQUEUE_DEVICE to another device."
            ) from None


def _normalize(features: torch.Tensor) -> NDArray[np.float32]:
    vectors: NDArray[np.float32] = torch.nn.functional.normalize(features.float(), dim=-1).cpu().numpy()
    return vectors


def _keep(model: Any, tower: str) -> None:
    """Free the memory of the other tower."""
    others = {"text": ("visual",), "image": ("text", "transformer", "token_embedding")}.get(tower, ())
    for name in others:
        if hasattr(model, name):
            setattr(model, name, None)


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
