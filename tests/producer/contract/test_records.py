"""How times are stored in MongoDB."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from producer.contract.records import bson_date, to_ms


def test_dates_are_exact_to_the_millisecond() -> None:
    assert to_ms(bson_date(1_700_000_000_001)) == 1_700_000_000_001
    assert to_ms(datetime(1970, 1, 1, tzinfo=UTC) - timedelta(milliseconds=5)) == -5


def test_a_value_that_is_not_a_date_has_no_time() -> None:
    assert to_ms("2026") is None
