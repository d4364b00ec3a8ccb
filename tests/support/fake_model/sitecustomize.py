"""With this folder in PYTHONPATH, commands that start a worker start it as always, but it gets the fake encoder.

For commands that start `worker.app` themselves; where a test starts the worker, it starts fake_encoder_app.py.
"""

from __future__ import annotations

import sys
from importlib.util import spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

FAKE_ENCODER = Path(__file__).parents[1] / "fake_encoder.py"


class FakeEncoderFinder:
    """Finds the fake encoder where the worker looks for its encoder."""

    @staticmethod
    def find_spec(name: str, _path: object = None, _target: object = None) -> ModuleSpec | None:
        return spec_from_file_location(name, FAKE_ENCODER) if name == "worker.encode.open_clip" else None


sys.meta_path.insert(0, FakeEncoderFinder)
