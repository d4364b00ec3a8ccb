"""Models for the tests."""

from __future__ import annotations

from pathlib import Path

import worker.models

DEFAULT_MODEL = "ViT-B-32-quickgelu"
SMALL_CHECKPOINT = Path(worker.models.__path__[0]) / "emoji-clip.safetensors"
