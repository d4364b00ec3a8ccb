"""The API says at start that a library has changed."""

from __future__ import annotations

import pytest

from producer.api.libraries import check_libraries
from producer.contract.errors import ConfigurationError


def test_the_installed_libraries_fit_and_changed_ones_are_refused() -> None:
    check_libraries()
    with pytest.raises(ConfigurationError, match="has no connection_made in H11Protocol; install uvicorn~="):
        check_libraries(protocol=object)
    with pytest.raises(ConfigurationError, match="have no max_size"):
        check_libraries(transport=object())
