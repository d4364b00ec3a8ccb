"""Reads the color codes in the header of AV1 data (AV1 bitstream specification, 5.3 to 5.5)."""

from __future__ import annotations

_SEQUENCE_HEADER = 1
_MAX_OBUS = 16  # until the sequence header, which comes first or second
_MAX_HEADER_BYTES = 512  # a real one has about ten
_CODED_LEVELS_WITHOUT_TIER = 7
_ALWAYS_CHOSEN = 2


class _Bits:
    """Reads numbers of some bits. Raises IndexError at the end."""

    def __init__(self, content: bytes) -> None:
        self._bits = int.from_bytes(content, "big")
        self._left = 8 * len(content)

    def read(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise IndexError
        return self._bits >> self._left & (1 << count) - 1


def sequence_color(content: bytes) -> tuple[int, int] | None:
    """Return the codes for primaries and transfer (ITU-T H.273), or None if the data states none.

    Args:
        content: The first bytes of an image's AV1 data.
    """
    position = 0
    for _ in range(_MAX_OBUS):
        if position >= len(content):
            return None
        head = content[position]
        size, start = _leb128(content, position + (2 if head & 4 else 1))
        if head >> 3 & 15 == _SEQUENCE_HEADER:
            return _header_color(_Bits(content[start : start + min(size, _MAX_HEADER_BYTES)]))
        position = start + size
    return None


def _leb128(content: bytes, position: int) -> tuple[int, int]:
    """Return a number of seven bits a byte, and where it ends (4.10.5)."""
    value = 0
    for index in range(8):
        byte = content[position + index]
        value |= (byte & 127) << 7 * index
        if byte < 128:  # noqa: PLR2004 - the bit that says: more
            return value, position + index + 1
    raise IndexError


def _header_color(bits: _Bits) -> tuple[int, int] | None:
    """Return the codes in a sequence header (5.5.1)."""
    profile, _, reduced = bits.read(3), bits.read(1), bits.read(1)
    if reduced:
        bits.read(5)
    else:
        _skip_operating_points(bits)
    width_bits, height_bits = bits.read(4) + 1, bits.read(4) + 1
    bits.read(width_bits + height_bits)
    if not reduced and bits.read(1):  # numbers of frames
        bits.read(7)
    bits.read(3)
    if not reduced:
        _skip_tools(bits)
    bits.read(3)
    if bits.read(1) and profile == 2:  # noqa: PLR2004 - the professional profile, of up to 12 bits
        bits.read(1)
    if profile != 1:
        bits.read(1)  # monochrome
    return (bits.read(8), bits.read(8)) if bits.read(1) else None


def _skip_operating_points(bits: _Bits) -> None:
    delay_bits = _skip_timing(bits) if bits.read(1) else 0
    initial_delays = bits.read(1)
    for _ in range(bits.read(5) + 1):
        bits.read(12)
        if bits.read(5) > _CODED_LEVELS_WITHOUT_TIER:
            bits.read(1)
        if delay_bits and bits.read(1):
            bits.read(2 * delay_bits + 1)
        if initial_delays and bits.read(1):
            bits.read(4)


def _skip_timing(bits: _Bits) -> int:
    """Return the number of bits of a buffer delay, or 0 if no operating point states one."""
    bits.read(64)
    if bits.read(1):  # equal intervals; the number of ticks follows as uvlc (4.10.3)
        zeros = 0
        while not bits.read(1):
            zeros += 1
        bits.read(zeros)
    if not bits.read(1):
        return 0
    delay_bits = bits.read(5) + 1
    bits.read(42)
    return delay_bits


def _skip_tools(bits: _Bits) -> None:
    bits.read(4)
    order_hints = bits.read(1)
    if order_hints:
        bits.read(2)
    screen_content = _ALWAYS_CHOSEN if bits.read(1) else bits.read(1)
    if screen_content and not bits.read(1):
        bits.read(1)
    if order_hints:
        bits.read(3)
