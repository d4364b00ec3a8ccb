"""The encoder on a GPU against the same forward pass in plain PyTorch, and several workers on one GPU."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np
import open_clip
import pymongo
import torch

from producer.contract.names import DEFAULT_COLLECTION
from producer.local.stack import Stack
from tests.bench.rows import in_turn, row
from worker.encode.open_clip import EncoderConfig, OpenClipEncoder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.bench.bench import Bench
    from tests.bench.rows import Row

_BATCHES = (1, 8, 32, 128, 512)
_DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
_SECONDS = 0.7
_ROUNDS = 3
# Each count with the workers of the count before it.
_WORKERS = (1, 2, 4, 8)
_WORKER_ROUNDS = 1
_IMAGES = 1_500  # for each worker
_MOST_IMAGES = 6_000
_SIZES = ((224, 224), (1440, 960))


def rows(bench: Bench) -> Iterator[Row]:
    """Measure images/s; return no rows without a GPU."""
    if not torch.cuda.is_available():
        return
    yield from _encoder(bench)
    yield from _workers_on_one_gpu(bench)


def _encoder(bench: Bench) -> Iterator[Row]:
    weights = bench.model["CLIP_MODEL"], bench.model["CLIP_PRETRAINED"]
    for precision, dtype in _DTYPES.items():
        encoder = OpenClipEncoder(EncoderConfig(*weights, "cuda", precision))
        plain = open_clip.create_model(weights[0], device="cuda").eval().to(dtype)
        for batch in _BATCHES:
            pixels = np.random.default_rng(batch).integers(0, 255, (batch, 224, 224, 3), dtype=np.uint8)
            ready = torch.rand(batch, 3, 224, 224, device="cuda", dtype=dtype)

            def forward(ready: torch.Tensor = ready, plain: torch.nn.Module = plain) -> None:
                with torch.inference_mode():
                    plain.encode_image(ready)  # type: ignore[operator]
                torch.cuda.synchronize()

            def ours(pixels: np.ndarray = pixels, encoder: OpenClipEncoder = encoder) -> None:
                encoder.encode(pixels)

            pairs = in_turn(_ROUNDS, lambda: _per_s(ours, batch), lambda: _per_s(forward, batch))  # noqa: B023
            name = torch.cuda.get_device_name()
            yield row(f"encoder, {name}, {precision}, batch {batch} / plain forward on the GPU", "images/s", pairs)


def _per_s(call: Callable[[], None], batch: int) -> float:
    call()
    start, count = time.perf_counter(), 0
    while (took_s := time.perf_counter() - start) < _SECONDS:
        call()
        count += batch
    return count / took_s


def _workers_on_one_gpu(bench: Bench) -> Iterator[Row]:
    """Compare several workers with one. Each has a MongoDB of its own: an embedded one would be the limit."""
    rates: dict[tuple[int, tuple[int, int]], list[tuple[float, float]]] = {}
    with ExitStack() as on_exit:
        stacks = [on_exit.enter_context(_mongodb(bench, number)) for number in range(max(_WORKERS))]
        uris = [stack.mongodb_uri for stack in stacks]
        for _ in range(_WORKER_ROUNDS):
            for (count, size), rate in _round(bench, uris):
                rates.setdefault((count, size), []).append((rate, rates[1, size][-1][0] if count > 1 else rate))
    for (count, (width, height)), pairs in rates.items():
        if count > 1:
            yield row(f"{count} workers on one GPU / one, {width}x{height} JPEGs end to end", "images/s", pairs)


def _mongodb(bench: Bench, number: int) -> Stack:
    folder = bench.folder / f"mongo-{number}"
    folder.mkdir()
    stack = Stack(folder)
    stack.start_servers()
    return stack


def _round(bench: Bench, uris: Sequence[str]) -> Iterator[tuple[tuple[int, tuple[int, int]], float]]:
    """Yield the images/s of each count of workers and each size of images."""
    with ExitStack() as workers, ThreadPoolExecutor(len(uris)) as pool:

        def start(number: int) -> None:
            env = {**bench.model, "MONGODB_URI": uris[number]}
            workers.enter_context(bench.worker(env, f"gpu-{number}"))

        running = 0
        for count in _WORKERS:
            list(pool.map(start, range(running, count)))
            running = count
            for size in _SIZES:
                _images_per_s(bench, uris, size, 200 * count)
                yield (count, size), _images_per_s(bench, uris, size, min(_IMAGES * count, _MOST_IMAGES))


def _images_per_s(bench: Bench, uris: Sequence[str], size: tuple[int, int], images: int) -> float:
    url = bench.photos_at(size)
    with ExitStack() as on_exit:
        clients = [on_exit.enter_context(pymongo.MongoClient[dict[str, Any]](uri)) for uri in uris]
        collections = [client["clipqueue"][DEFAULT_COLLECTION] for client in clients]
        for collection in collections:
            collection.delete_many({})
        start = time.perf_counter()
        bench.client.enqueue_many((f"image-{n}", f"{url}/{n}/photo.jpg") for n in range(images))
        bench.wait_until_idle()
        took_s = time.perf_counter() - start
        done = sum(one.count_documents({"embedding_job.status": "done"}) for one in collections)
    assert done == images, f"{done} of {images} images are done"
    return images / took_s
