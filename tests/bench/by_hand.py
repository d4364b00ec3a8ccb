"""`python -m tests.bench.by_hand`: fetches, decodes and embeds the image of each URL, one line of input each.

The model has the precision that a worker chooses and PyTorch's own threads. The rest is open_clip.
"""

from __future__ import annotations

import sys
import time
from io import BytesIO

import open_clip
import requests
import torch
from PIL import Image

from tests.bench.lines import answer
from worker.encode.open_clip import EncoderConfig, OpenClipEncoder
from worker.settings import load_settings


def main() -> None:
    """Load the model, and answer with a JSON object of seconds until the input ends."""
    settings = load_settings()
    weights = settings.clip_model, settings.clip_pretrained
    precision = OpenClipEncoder(EncoderConfig(*weights, settings.device, settings.precision)).precision
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    model, _, transform = open_clip.create_model_and_transforms(*weights)
    model = model.eval().to(dtype)
    session = requests.Session()
    answer()
    for line in sys.stdin:
        start = time.perf_counter()
        image = Image.open(BytesIO(session.get(line.strip(), timeout=10).content))
        with torch.inference_mode():
            model.encode_image(transform(image).unsqueeze(0).to(dtype), normalize=True).float().tolist()
        answer(wall_s=time.perf_counter() - start)


if __name__ == "__main__":
    main()
