"""Runs the model: chooses device and precision, turns pixels and texts into vectors.

Of what a worker runs, only this module and `worker.encode.weights`, which loads the model, import torch.
"""

from __future__ import annotations

import copy
import logging
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from worker.encode.cpus import usable_cpus
from worker.encode.weights import load_model, load_tokenizer, model_id
from worker.errors import EncoderBroken, ModelUnavailable, OutOfMemory
from worker.spec import PreprocessSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from worker.settings import Settings

logger = logging.getLogger(__name__)

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_MEASURED_BATCH = 4
_MEASURED_RUNS = 2
_MOST_THREADS = 4


@dataclass(frozen=True)
class EncoderConfig:
    """Which model, where and how: the settings of the same names.

    Attributes:
        threads: How many threads call `encode` at once, and share the processors; 0 for as many as serve best where it
            runs. None is for one caller, and leaves PyTorch's own threads as they are.
    """

    model: str
    pretrained: str
    device: str = "auto"
    precision: str = "auto"
    threads: int | None = None

    @classmethod
    def of(cls, settings: Settings) -> EncoderConfig:
        """Return what the worker's settings choose."""
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
        model_id: What the document calls the model, such as `ViT-B-32-quickgelu/openai`.
        dim: Length of a vector.
        spec: The pixels the model takes.
        device: Where it runs, such as `cpu` or `cuda`.
        threads: How many threads may call `encode` at once.
        precision: `fp32`, `bf16` or `fp16`.
        precision_reason: Why that precision, in words.
        parameters: How many numbers the model has learned.

    Raises:
        ModelUnavailable: The weights cannot be loaded; the message says what to set.
    """

    def __init__(self, choice: EncoderConfig) -> None:
        self.device = _pick_device() if choice.device == "auto" else choice.device
        self._shares_processors = self.device == "cpu" and choice.threads is not None
        self.threads = 1 if choice.threads is None else choice.threads or _best_threads(self.device)
        self._processor_count = usable_cpus()
        self._share = max(1, self._processor_count // self.threads)
        self._lock, self._running = threading.Lock(), 0
        if self._shares_processors:
            torch.set_num_threads(self._share)
        model = load_model(choice.model, choice.pretrained)
        self.model_id = model_id(choice.model, choice.pretrained)
        self.spec, mean, std = _read_preprocessing(model.visual.preprocess_cfg, choice.model)
        self._model = _move(model, self.device)
        self._name = choice.model
        self._tokenize: Callable[[list[str]], Any] | None = None
        self.parameters = sum(parameter.numel() for parameter in model.parameters())
        self._mean = torch.tensor(mean, device=self.device).view(1, 3, 1, 1) * 255
        self._std = torch.tensor(std, device=self.device).view(1, 3, 1, 1) * 255
        self.precision, self.precision_reason = "fp32", f"CLIPQUEUE_PRECISION={choice.precision}"
        self._set_precision(choice.precision)
        self.dim = int(self._forward(self._blank(1)).shape[1])

    def encode(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return unit vectors.

        Args:
            pixels: uint8 of shape (n, height, width, 3), RGB.

        Returns:
            float32 of shape (n, dim), each row of length 1.

        Raises:
            OutOfMemory: So many images are too many for the device.
            EncoderBroken: The device is lost to this process.
        """
        try:
            with self._processors():
                return self._forward(pixels)
        except (RuntimeError, MemoryError) as exc:
            if fault := _fault(exc):
                raise fault from None  # without the frames, which hold on to what the batch had
            raise

    @contextmanager
    def _processors(self) -> Iterator[None]:
        """Take all processors for a call that runs alone, as on an idle worker, and else this thread's share."""
        with self._lock:
            self._running += 1
            alone = self._running == 1
        try:
            if self._shares_processors:
                torch.set_num_threads(self._processor_count if alone else self._share)  # of this thread
            yield
        finally:
            with self._lock:
                self._running -= 1

    def _forward(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            images = self._upload(pixels).permute(0, 3, 1, 2).float()
            images = images.sub_(self._mean).div_(self._std).to(_DTYPES[self.precision])
            features = self._model.encode_image(images).float()
            vectors: NDArray[np.float32] = torch.nn.functional.normalize(features, dim=-1).cpu().numpy()
        return vectors

    def _upload(self, pixels: NDArray[np.uint8]) -> torch.Tensor:
        images = torch.from_numpy(pixels)
        if self.device == "cuda":
            # From pinned memory the copy needs no processor and waits for nothing; the device keeps the order.
            return images.pin_memory().to(self.device, non_blocking=True)
        return images.to(self.device)

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors of texts, to be compared with those of images by their dot product.

        Args:
            texts: What to look for; a text longer than the model's context is cut.

        Returns:
            float32 of shape (n, dim), each row of length 1.

        Raises:
            ModelUnavailable: The model's tokenizer cannot be had; some come from a hub, or need transformers.
        """
        if self._tokenize is None:
            self._tokenize = load_tokenizer(self._name)
        with torch.inference_mode():
            features = self._model.encode_text(self._tokenize(list(texts)).to(self.device)).float()
            vectors: NDArray[np.float32] = torch.nn.functional.normalize(features, dim=-1).cpu().numpy()
        return vectors

    def warm_up(self, batch_size: int) -> float:
        """Run the largest batch, so that no job pays for what happens the first time only.

        The smallest has run already, to learn `dim`.

        Returns:
            The seconds of one image in the largest batch.
        """
        self._forward(self._blank(batch_size))
        start = time.perf_counter()
        self._forward(self._blank(batch_size))
        return (time.perf_counter() - start) / batch_size

    def describe(self) -> str:
        """Return dimension, device, threads and precision for the log."""
        where = f"device={self.device} threads={self.threads}x{self._share}"
        return f"dim={self.dim} {where} precision={self.precision} ({self.precision_reason})"

    def _set_precision(self, precision: str) -> None:
        """Cast the weights; for `auto`, keep whichever of fp32 and bf16 is faster here by a short measurement.

        Weights and input are cast, and not autocast, which is several times slower in bf16 on a CPU.
        """
        if precision != "auto":
            self._model, self.precision = self._model.to(_DTYPES[precision]), precision
            return
        full_s, full = self._measure_s(), self._model
        self._model, self.precision = copy.deepcopy(full).to(torch.bfloat16), "bf16"
        half_s = self._measure_s()
        if full_s <= half_s:
            self._model, self.precision = full, "fp32"
        self.precision_reason = (
            f"measured: a batch of {_MEASURED_BATCH} takes {full_s * 1e3:.1f} ms in fp32, {half_s * 1e3:.1f} ms in bf16"
        )

    def _measure_s(self) -> float:
        """Return the seconds of one batch, the best of a few; copying the result back waits for the device."""
        batch = self._blank(_MEASURED_BATCH)
        self._forward(batch)
        runs = []
        for _ in range(_MEASURED_RUNS):
            start = time.perf_counter()
            self._forward(batch)
            runs.append(time.perf_counter() - start)
        return min(runs)

    def _blank(self, count: int) -> NDArray[np.uint8]:
        return np.full((count, self.spec.height, self.spec.width, 3), 127, np.uint8)


def _fault(exc: RuntimeError | MemoryError) -> OutOfMemory | EncoderBroken | None:
    """Return what an error of PyTorch means for the batcher, if anything; it tells most of them apart by text only."""
    reason = str(exc).partition("\n")[0]
    if (
        isinstance(exc, MemoryError | torch.OutOfMemoryError)
        or "not enough memory" in reason
        or "t allocate memory" in reason
    ):
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return OutOfMemory(reason)
    # After it every call of this process fails (a sticky error of the CUDA context).
    return EncoderBroken(reason) if "CUDA error" in reason else None


def _move(model: Any, device: str) -> Any:
    try:
        return model.to(device)
    except (RuntimeError, AssertionError) as exc:
        raise ModelUnavailable(
            f"CLIPQUEUE_DEVICE={device} cannot be used on this machine: {exc}. Set it to auto or cpu."
        ) from exc


def _pick_device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _best_threads(device: str) -> int:
    """Return how many batches to encode side by side.

    On a CPU, threads that share one batch wait for each other after each of its layers, the more so when others want
    the processors too; batches of their own keep them busy. More than a few would leave each with too small a batch.
    """
    return min(usable_cpus(), _MOST_THREADS) if device == "cpu" else 1


def _read_preprocessing(config: dict[str, Any], name: str) -> tuple[PreprocessSpec, list[float], list[float]]:
    size = config["size"]
    height, width = size if isinstance(size, tuple | list) else (size, size)
    mode, interpolation = config["resize_mode"], config["interpolation"]
    if mode not in ("shortest", "squash") or interpolation not in ("bicubic", "bilinear"):
        raise ModelUnavailable(
            f"The model {name} wants its images resized by {mode!r} with {interpolation!r}, which clipqueue does "
            "not do. Choose another with CLIP_MODEL."
        )
    return PreprocessSpec(height, width, mode, interpolation), list(config["mean"]), list(config["std"])
