"""How the parts are put together."""

from __future__ import annotations

import logging

import pytest

from worker.logs import RedactingFormatter
from worker.runtime import fitting_concurrency


@pytest.mark.parametrize(
    ("per_image_s", "fits"),
    [(0.001, 32), (0.3, 32), (0.8, 12), (5.0, 2), (60.0, 1)],
)
def test_a_slow_model_gets_fewer_images_in_flight(
    per_image_s: float, fits: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Else each would wait longer than it may, and none would ever be done; the log says so."""
    assert fitting_concurrency(per_image_s, encode_s=20.0, wanted=32) == fits
    assert ("CLIPQUEUE_CONCURRENCY" in caplog.text) is (fits < 32)


def test_the_formatter_cuts_queries_in_messages_and_tracebacks() -> None:
    try:
        raise ValueError("cannot read http://host/a.jpg?sig=secret")  # noqa: TRY301
    except ValueError as exc:
        record = logging.LogRecord("a", 40, "p", 1, "url=%s", ("http://host/b.jpg?sig=secret",), (type(exc), exc, None))
    line = RedactingFormatter("%(message)s").format(record)
    assert line.startswith("url=http://host/b.jpg\n")
    assert "http://host/a.jpg" in line
    assert "secret" not in line
