"""The times of a job's stages."""

from __future__ import annotations

import re

import pytest

from worker.telemetry.stages import StageTimes


def test_each_stage_is_measured_in_order_also_one_that_raises() -> None:
    times = StageTimes()
    with times.stage("check"):
        pass
    with pytest.raises(ValueError, match="damaged"), times.stage("fetch"):
        raise ValueError("damaged")
    assert list(times.seconds) == ["check", "fetch"]
    assert re.fullmatch(r"check=\d+\.\dms fetch=\d+\.\dms", str(times))
