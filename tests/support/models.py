"""The models that the tests run."""

from __future__ import annotations

from pathlib import Path

import worker.encode.models

DEFAULT_MODEL = "ViT-B-32-quickgelu"
SMALL_CHECKPOINT = Path(worker.encode.models.__path__[0]) / "emoji-clip.safetensors"
