"""Tests that need a GPU (`pytest -m gpu`); they are skipped on machines without one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from tests.conftest import WORKER_ENV
from tests.support.pictures import small_jpeg
from worker.encode.batcher import Batcher
from worker.encode.load import Load
from worker.encode.open_clip import EncoderConfig, OpenClipEncoder
from worker.encode.precision import half_precision
from worker.errors import OutOfMemory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Any

    from producer.local.stack import Stack
    from tests.support.servers import ImageServer

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here"),
]


@pytest.fixture
def encoder() -> OpenClipEncoder:
    return OpenClipEncoder(EncoderConfig("ViT-B-32", "untrained", "cuda", "fp16"))


@pytest.fixture
def little_memory(encoder: OpenClipEncoder) -> Iterator[None]:
    """Limits the GPU memory so that one image fits, and a batch of hundreds does not."""
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 256 * 1024**2) / total)
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)


def test_pixels_are_copied_from_pinned_memory_without_waiting(
    encoder: OpenClipEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies: list[tuple[bool, bool]] = []
    real = torch.Tensor.to

    def to(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        copies.append((tensor.is_pinned(), kwargs.get("non_blocking", False)))
        return real(tensor, *args, **kwargs)

    monkeypatch.setattr(torch.Tensor, "to", to)
    assert encoder._upload(np.zeros((2, 224, 224, 3), np.uint8)).is_cuda
    assert copies == [(True, True)]


def test_one_of_several_gpus_can_be_chosen() -> None:
    """The last one. Nothing of this process may be on the first one, if there are several."""
    last = f"cuda:{torch.cuda.device_count() - 1}"
    before = torch.cuda.memory_reserved(0)
    encoder = OpenClipEncoder(EncoderConfig("emoji-clip", "bundled", last, "auto", load=Load(batch_size=16)))
    assert {str(parameter.device) for parameter in encoder._model.parameters()} == {last}
    side = encoder.spec.height
    assert encoder._upload(np.zeros((2, side, side, 3), np.uint8)).device == torch.device(last)
    assert encoder.encode(np.zeros((2, side, side, 3), np.uint8)).shape == (2, encoder.dim)
    assert last == "cuda:0" or torch.cuda.memory_reserved(0) == before


def test_auto_takes_half_the_bits_unless_they_are_clearly_slower() -> None:
    encoder = OpenClipEncoder(EncoderConfig("ViT-B-32", "untrained", "cuda", "auto", load=Load(batch_size=32)))
    assert encoder.batch_size == 32
    assert "a batch of 32 takes" in encoder.precision_reason
    assert encoder.precision == half_precision("cuda")


def test_texts_run_beside_image_batches_on_a_stream_that_goes_first(encoder: OpenClipEncoder) -> None:
    tower = encoder.texts
    assert tower.cuts
    assert tower._stream
    assert tower._stream.priority == -1
    tokens = [[tower.tokenize(text)] for text in ("a red bicycle", "one two three " * 30)]
    expected = [tower.encode(text) for text in tokens]
    assert np.allclose(
        np.concatenate(expected), encoder.encode_texts(["a red bicycle", "one two three " * 30]), atol=0.01
    )
    noise = np.random.default_rng(1).integers(0, 255, (64, 224, 224, 3), dtype=np.uint8)
    images = encoder.encode(noise)
    with ThreadPoolExecutor(1) as pool:
        batches = [pool.submit(encoder.encode, noise) for _ in range(20)]
        found = [tower.encode(text) for _ in range(20) for text in tokens]
    assert all(np.allclose(one, expected[number % 2], atol=1e-3) for number, one in enumerate(found))
    assert all(np.allclose(batch.result(), images, atol=1e-2) for batch in batches)


@pytest.mark.usefixtures("little_memory")
def test_a_batch_too_large_for_the_memory_is_halved_and_every_image_gets_a_vector(encoder: OpenClipEncoder) -> None:
    with pytest.raises(OutOfMemory):
        encoder.encode(np.zeros((1024, 224, 224, 3), np.uint8))
    batcher = Batcher(encoder, max_batch_size=1024, max_waiting=1024, timeout_s=60)
    noise = np.random.default_rng(1).integers(0, 255, (600, 224, 224, 3), dtype=np.uint8)
    with ThreadPoolExecutor(600) as pool:
        embedded = list(pool.map(batcher.embed, noise))
    batcher.close()
    assert all(np.isfinite(one.vector).all() for one in embedded)


def test_two_workers_share_one_gpu(
    stack: Stack,
    client: Any,
    images: ImageServer,
    new_id: str,
    result_of: Callable[[Any], dict[str, Any]],
    data_dir: Path,
) -> None:
    env = {**WORKER_ENV, "CLIPQUEUE_DEVICE": "cuda"}
    workers = [stack.start_worker(env, f"gpu-{number}") for number in range(2)]
    ids = [f"{new_id}-{number}" for number in range(100)]
    client.enqueue_many((image_id, images.add(f"/{image_id}.jpg", small_jpeg(n))) for n, image_id in enumerate(ids))
    assert {result_of(image_id)["embedding_job"]["status"] for image_id in ids} == {"done"}
    for worker in workers:
        stack.stop_one(worker)
    assert all("done batch=" in (data_dir / f"gpu-{number}.log").read_text() for number in range(2))
