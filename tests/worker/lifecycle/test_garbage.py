"""The garbage collector pauses while a model is loaded, and runs afterwards."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest

from worker.lifecycle.garbage import nothing_is_garbage

if TYPE_CHECKING:
    from collections.abc import Iterator


class Loaded:
    """Part of a cycle, as a model's modules are."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.enable()


def test_what_was_loaded_is_not_searched_again_but_new_garbage_is_collected() -> None:
    with nothing_is_garbage():
        assert not gc.isenabled()
        loaded = Loaded()
    new = Loaded()
    assert gc.isenabled()
    alive = {id(one) for one in gc.get_objects()}
    assert id(new) in alive
    assert id(loaded) not in alive


def test_the_collector_runs_again_after_an_error_and_stays_off_where_it_was_off() -> None:
    with pytest.raises(OSError, match="no weights"), nothing_is_garbage():
        raise OSError("no weights")
    assert gc.isenabled()
    gc.disable()
    with nothing_is_garbage():
        pass
    assert not gc.isenabled()
