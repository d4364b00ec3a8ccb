"""Files that take too much CPU time end with their error, even at the smallest limit, and the next file is decoded."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.hostile.refused import TOO_COSTLY
from tests.support.decoding import LIMITS
from tests.support.hostile import DECODE_S
from tests.support.pictures import small_jpeg
from worker.decode.pool import DecodePool, ProcessLimits
from worker.errors import DecodeTooCostly
from worker.spec import PreprocessSpec

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def pool() -> Iterator[DecodePool]:
    cost = ProcessLimits(cpu_s=1, memory_bytes=1024**3, wall_s=DECODE_S)
    with closing(DecodePool(PreprocessSpec(64, 64), LIMITS, cost, processes=1)) as pool:
        yield pool


@pytest.mark.parametrize("name", TOO_COSTLY)
def test_a_costly_file_is_given_up_and_the_next_one_is_decoded(name: str, pool: DecodePool) -> None:
    with pytest.raises(DecodeTooCostly, match="CLIPQUEUE_DECODE_CPU_S"):
        pool.decode(TOO_COSTLY[name]())
    assert pool.decode(small_jpeg()).pixels.shape
