"""From a file's bytes to a tensor, against open_clip's transform; and whether both give the same vector."""

from __future__ import annotations

import time
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import open_clip
import torch
from PIL import Image

from producer.cli.model import SMALL_MODEL
from tests.bench.pictures import FORMATS, photo_file
from tests.bench.rows import Row, Target, in_turn, row
from worker.decode.limits import DecodeLimits
from worker.decode.pillow import PillowDecoder
from worker.decode.pool import DecodePool, ProcessLimits
from worker.encode.open_clip import EncoderConfig, OpenClipEncoder
from worker.spec import PreprocessSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.bench.bench import Bench
    from worker.decode.pillow import Decoder

_SIDE = 224
_MEAN = torch.tensor(open_clip.OPENAI_DATASET_MEAN).view(3, 1, 1) * 255
_STD = torch.tensor(open_clip.OPENAI_DATASET_STD).view(3, 1, 1) * 255
_LIMITS = DecodeLimits(50_000_000, 16_384, 1000, 100, allow_truncated=False)
_COST = ProcessLimits(cpu_s=6, memory_bytes=2 * 1024**3, wall_s=12.0)
_ROUNDS = 3
# The number of images of each size: enough for a round that can be measured.
_COUNTS = {(640, 480): 28, (1920, 1440): 14, (4000, 3000): 7}
_JPEG_TARGETS = {(640, 480): 1.0, (1920, 1440): 2.4, (4000, 3000): 5.5}


def rows(_: Bench) -> Iterator[Row]:
    """Measure one decode at a time in one thread, and the cosine similarity of the small model's vectors."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield from _speed()
        yield _similarity()
    finally:
        torch.set_num_threads(threads)


def _speed() -> Iterator[Row]:
    spec = PreprocessSpec(_SIDE, _SIDE)
    decoder = PillowDecoder(spec, _LIMITS)
    transform = open_clip.image_transform(_SIDE, is_train=False)
    for size, count in _COUNTS.items():
        for kind in FORMATS:
            files = [photo_file(number, size, kind) for number in range(count)]
            target = Target(least=_JPEG_TARGETS[size] if kind == "jpeg" else 1.0)
            pairs = _compare(files, partial(_ours, decoder), partial(_theirs, transform))
            yield row(
                "{} {}x{} to tensor / open_clip's transform".format(kind.upper(), *size), "images/s", pairs, target
            )
    pool = DecodePool(spec, _LIMITS, _COST, processes=1)
    pool.warm_up()
    files = [photo_file(number, (640, 480), "jpeg") for number in range(28)]
    pairs = _compare(files, partial(_ours, pool), partial(_theirs, transform))
    pool.close()
    yield row("JPEG 640x480 through a decoding process / open_clip's transform", "images/s", pairs)


def _compare(files: Sequence[bytes], *both: Callable[[bytes], Any]) -> list[tuple[float, float]]:
    def per_s(convert: Callable[[bytes], Any]) -> float:
        start = time.perf_counter()
        for content in files:
            convert(content)
        return len(files) / (time.perf_counter() - start)

    for convert in both:
        convert(files[0])
    return in_turn(_ROUNDS, *(partial(per_s, convert) for convert in both))


def _ours(decoder: Decoder, content: bytes) -> torch.Tensor:
    # The encoder normalizes a whole batch; here each image pays for it.
    pixels = torch.from_numpy(np.array(decoder.decode(content).pixels)).permute(2, 0, 1).float()
    return pixels.sub_(_MEAN).div_(_STD)


def _theirs(transform: Callable[[Image.Image], torch.Tensor], content: bytes) -> torch.Tensor:
    return transform(Image.open(BytesIO(content)))


def _similarity() -> Row:
    encoder = OpenClipEncoder(EncoderConfig(SMALL_MODEL["CLIP_MODEL"], SMALL_MODEL["CLIP_PRETRAINED"], "cpu", "fp32"))
    decoder = PillowDecoder(encoder.spec, _LIMITS)
    transform = open_clip.image_transform(encoder.spec.height, is_train=False, mean=(0, 0, 0), std=(1, 1, 1))
    files = [
        photo_file(number, size, kind) for size, count in _COUNTS.items() for number in range(count) for kind in FORMATS
    ]
    ours = encoder.encode(np.stack([decoder.decode(content).pixels for content in files]))
    theirs = encoder.encode(np.stack([_bytes(_theirs(transform, content)) for content in files]))
    cosines = [(float(cosine), 1.0) for cosine in (ours * theirs).sum(axis=1)]
    worst = min(cosines)[0]
    return Row(
        "vectors of these pictures by the small model, worst cosine",
        "cosine",
        worst,
        1,
        worst,
        worst,
        1,
        Target(0.9995),
    )


def _bytes(tensor: torch.Tensor) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return (tensor.permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
