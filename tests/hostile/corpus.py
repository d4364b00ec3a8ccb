"""Image files in the shapes of known attacks and bugs, made in code, each with the code that its job must end with.

A file that starts like one of the eight formats and cannot be decoded is `corrupt_image`, also where Pillow itself
says that it cannot identify it; `unsupported_format` is what starts like none of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.hostile.damaged import CORRUPT
from tests.hostile.refused import TOO_COSTLY, TOO_LARGE, TOO_MANY_FRAMES, TOO_MANY_SCANS, UNSUPPORTED
from tests.hostile.sound import SOUND

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Specimen:
    """One file, and how its job must end.

    Attributes:
        name: What the file is.
        build: Returns the file, the same one each time.
        code: The code of the failed job; `done` where the file must be decoded.
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
        ("decode_too_costly", TOO_COSTLY),
        ("done", SOUND),
    )
    for name, build in builds.items()
)
