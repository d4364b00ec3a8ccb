"""A worker processes malicious, damaged and unusual image files, each with the expected outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.hostile.corpus import SPECIMENS
from tests.support.hostile import DECODE_S
from tests.support.servers import ImageServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.hostile.corpus import Specimen
    from tests.support.hostile import HostileWorker, Outcome


@pytest.fixture(scope="module")
def images() -> Iterator[ImageServer]:
    server = ImageServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def outcomes(hostile_worker: HostileWorker, images: ImageServer) -> dict[str, Outcome]:
    urls = {one.name: images.add(f"/{number}", one.build()) for number, one in enumerate(SPECIMENS)}
    outcomes = hostile_worker.run(urls)
    # The server here sends 20 MB files to all jobs at once. A download that was too slow says nothing about its file.
    slow = {name: urls[name] for name, outcome in outcomes.items() if outcome.code == "fetch_timeout"}
    return {**outcomes, **(hostile_worker.run(slow) if slow else {})}


@pytest.mark.parametrize("specimen", SPECIMENS, ids=lambda one: one.name)
def test_files(specimen: Specimen, outcomes: dict[str, Outcome]) -> None:
    outcomes[specimen.name].must_be(specimen.code, "decode", DECODE_S)


def test_the_same_worker_embeds_a_good_image(outcomes: dict[str, Outcome], hostile_worker: HostileWorker) -> None:
    assert hostile_worker.embeds_a_good_image()
