"""Limits PyTorch to one thread: the tests run in several processes, whose threads would wait for each other."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(scope="package", autouse=True)
def one_torch_thread() -> None:
    torch.set_num_threads(1)
