"""Chooses the page of a TIFF that is the picture: the first one, unless it says that it is a thumbnail or a mask."""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import TYPE_CHECKING

from worker.decode.tiff.layout import YCBCR, Tag, is_big, number, numbers, read_directory

if TYPE_CHECKING:
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

_REDUCED, _MASK = 1, 4  # bits of NewSubfileType
_MAX_PAGES = 16  # each costs reading its tags; thumbnails come early in the file
_COLORS = range(YCBCR + 4)  # those of pictures; the raw values of cameras have numbers above


def picture_page(content: bytes) -> tuple[bytes, ImageFileDirectory_v2]:
    """Return the file with the picture's page as its first one, and the directory of that page.

    A page that is marked as reduced, or as a mask, belongs to another page of the file. Cameras put the raw values
    there, which are no picture yet; then it is the largest preview.

    Raises:
        OSError, SyntaxError, struct.error: The content is damaged.
    """
    first = best = read_directory(content)
    with suppress(ValueError):  # a damaged tag must not hide the first page
        if _is_secondary(first):
            pages = [page for page in _pages(first, content) if _is_picture(page)]
            best = max(pages, key=lambda page: (not _is_secondary(page), _area(page)), default=first)
    return (content if best is first else _with_first(content, best.offset)), best


def _pages(first: ImageFileDirectory_v2, content: bytes) -> list[ImageFileDirectory_v2]:
    """Return the first pages of the file, and the pages below the first one."""
    pages, seen = [first], {0, first.offset}
    waiting = [*numbers(first, Tag.SUB_DIRECTORIES), first.next]
    while waiting and len(pages) < _MAX_PAGES:
        offset = waiting.pop(0)
        if offset in seen or offset >= len(content):
            continue
        seen.add(offset)
        page = read_directory(content, offset)
        pages.append(page)
        waiting.append(page.next)
    return pages


def _is_secondary(page: ImageFileDirectory_v2) -> bool:
    return bool(number(page, Tag.SUBFILE_TYPE, 0) & (_REDUCED | _MASK))


def _is_picture(page: ImageFileDirectory_v2) -> bool:
    return (
        not number(page, Tag.SUBFILE_TYPE, 0) & _MASK
        and number(page, Tag.PHOTOMETRIC, YCBCR) in _COLORS
        and Tag.WIDTH in page
    )


def _area(page: ImageFileDirectory_v2) -> int:
    return number(page, Tag.WIDTH, 0) * number(page, Tag.LENGTH, 0)


def _with_first(content: bytes, offset: int) -> bytes:
    """Return the file with another directory as its first one, which the header names."""
    order = ">" if content.startswith(b"M") else "<"
    if is_big(content):
        return content[:8] + struct.pack(f"{order}Q", offset) + content[16:]
    return content[:4] + struct.pack(f"{order}I", offset) + content[8:]
