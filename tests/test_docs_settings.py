"""docs/settings.md lists every setting, as the class defines it."""

from __future__ import annotations

from collections import Counter

from tests.support.settings_page import COMMAND, GROUPS, PAGE, render
from worker.settings import Settings


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == render(), f"regenerate it: {COMMAND}"


def test_every_setting_is_in_one_group() -> None:
    listed = Counter(name for names in GROUPS.values() for name in names)
    assert listed == dict.fromkeys(Settings.model_fields, 1)
