"""Measures a model on the held-out images: `python -m worker.encode.models.evaluate`.

Text-to-image: the name of each emoji is the query, and all Twemoji images are the gallery. Image-to-image: the Twemoji
image of each emoji searches all of Google's images, and the other way round. R@k is the share of queries whose correct
image is among the first k results. Images pass through the worker's own decoder and encoder.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from worker.decode.limits import DecodeLimits
from worker.decode.pillow import PillowDecoder
from worker.encode.models.pictures import CACHE, HELD_OUT, TRAINING_SETS, PictureSet, read_emoji, read_files
from worker.encode.open_clip import EncoderConfig, OpenClipEncoder
from worker.encode.weights import BUNDLED

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from numpy.typing import NDArray

    from worker.encode.models.pictures import Emoji

_BATCH = 64
_CUTOFFS = (1, 5, 10)


def ranks(queries: NDArray[np.float32], gallery: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return, for each query, how many wrong rows of the gallery are at least as similar as the correct one.

    Args:
        queries: float32 of shape (n, dim), unit vectors; the correct result for row i is row i of the gallery.
        gallery: float32 of shape (m, dim), m >= n.

    Returns:
        int64 of shape (n,): 0 where the correct row comes first.
    """
    cosines = queries @ gallery.T
    correct = cosines[np.arange(len(queries)), np.arange(len(queries))]
    wrong: NDArray[np.int64] = (cosines >= correct[:, None]).sum(axis=1) - 1
    return wrong


def embed_set(
    encoder: OpenClipEncoder, picture_set: PictureSet, emoji: list[Emoji], cache: Path
) -> dict[str, NDArray[np.float32]]:
    """Return the vectors of a set's images, by emoji id."""
    limits = DecodeLimits(max_pixels=10**8, max_side=10**4, max_frames=1, max_scans=100, allow_truncated=False)
    decoder = PillowDecoder(encoder.spec, limits)
    files = dict(read_files(picture_set, emoji, cache))
    pixels = [decoder.decode(content).pixels for content in tqdm(files.values(), "decoding", leave=False)]
    starts = tqdm(range(0, len(pixels), _BATCH), "embedding", leave=False)
    vectors = np.concatenate([encoder.encode(np.stack(pixels[start : start + _BATCH])) for start in starts])
    return dict(zip(files, vectors, strict=True))


def measure(encoder: OpenClipEncoder, cache: Path) -> dict[str, NDArray[np.int64]]:
    """Return the ranks of all queries for each kind of search."""
    emoji = read_emoji(cache)
    google = next(candidate for candidate in TRAINING_SETS if candidate.name == "google")
    held_out, known = (embed_set(encoder, one, emoji, cache) for one in (HELD_OUT, google))
    names = {one.id: one.label for one in emoji}
    shared = held_out.keys() & known.keys()
    twemoji, noto = (_in_order(vectors, shared) for vectors in (held_out, known))
    texts = encoder.encode_texts([names[key] for key in sorted(held_out)])
    return {
        "text to image (name to Twemoji)": ranks(texts, _in_order(held_out, held_out.keys())),
        "image to image (Twemoji to Noto)": ranks(twemoji[: len(shared)], noto),
        "image to image (Noto to Twemoji)": ranks(noto[: len(shared)], twemoji),
    }


def _in_order(vectors: dict[str, NDArray[np.float32]], first: AbstractSet[str]) -> NDArray[np.float32]:
    """Return the vectors as rows: first those with an id in `first`, then the others, each sorted by id."""
    return np.stack([vectors[key] for key in sorted(vectors, key=lambda key: (key not in first, key))])


def main() -> None:
    """Print a model's recall for each kind of search."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="emoji-clip")
    parser.add_argument("--pretrained", default=BUNDLED, help="`bundled`, a tag, or the path of a checkpoint")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--cache", type=Path, default=CACHE)
    given = parser.parse_args()
    start = time.perf_counter()
    encoder = OpenClipEncoder(EncoderConfig(given.model, given.pretrained, "cpu", given.precision))
    found = measure(encoder, given.cache)
    lines = [f"{encoder.model_id}: {encoder.parameters:,} parameters, {encoder.describe()}"]
    for search, places in found.items():
        recalls = "  ".join(f"R@{cutoff} {(places < cutoff).mean():.3f}" for cutoff in _CUTOFFS)
        lines.append(f"{search:34}{len(places):6} images  {recalls}")
    lines.append(f"took {time.perf_counter() - start:.0f} s\n")
    sys.stdout.write("\n".join(lines))


if __name__ == "__main__":
    main()
