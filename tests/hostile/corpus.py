"""Image files modeled on known attacks and bugs, each with the error code that its job must end with.

A file that starts like one of the eight supported formats but cannot be decoded is `corrupt_image`, even if Pillow
cannot identify it. A file that starts like none of them is `unsupported_format`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.hostile.damaged import CORRUPT
from tests.hostile.refused import TOO_COSTLY, TOO_LARGE, TOO_MANY_FRAMES, TOO_MANY_SCANS, UNSUPPORTED
from tests.hostile.sound import SOUND

if TYPE_CHECKING:
    from collections.abc import Callable


# A file of this kind costs the worker all the CPU time that it allows, so one is enough here. test_costly_files.py has
# all of them.
_COSTLY = "JPEG with 5 million comments"


@dataclass(frozen=True)
class Specimen:
    """One file and the expected outcome of its job.

    Attributes:
        name: A description of the file, used as the test id.
        build: Returns the content of the file, which is the same each time.
        code: The error code of the failed job, or `done` if the file must be decoded.
    """

    name: str
    build: Callable[[], bytes]
    code: str


SPECIMENS: tuple[Specimen, ...] = tuple(
    Specimen(name, build, code)
    for code, builds in (
        ("unsupported_format", UNSUPPORTED),
        ("too_many_pixels", TOO_LARGE),
        ("too_many_scans", TOO_MANY_SCANS),
        ("too_many_frames", TOO_MANY_FRAMES),
        ("corrupt_image", CORRUPT),
        ("decode_too_costly", {_COSTLY: TOO_COSTLY[_COSTLY]}),
        ("done", SOUND),
    )
    for name, build in builds.items()
)
