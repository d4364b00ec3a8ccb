"""Puts a chunk into a PNG, right after its header: `... | python -m tests.worker.decode.browser.chunk gAMA 000186a0`.

Reads the PNG from stdin and writes it to stdout. For chunks that no common program writes.
"""

from __future__ import annotations

import sys

from tests.hostile.builders import png_chunk

_HEADER_END = 33  # signature and IHDR


def main() -> None:
    """Insert the chunk that the arguments give: its type, and its content in hexadecimal."""
    content = sys.stdin.buffer.read()
    chunk = png_chunk(sys.argv[1].encode(), bytes.fromhex(sys.argv[2]))
    sys.stdout.buffer.write(content[:_HEADER_END] + chunk + content[_HEADER_END:])


if __name__ == "__main__":
    main()
