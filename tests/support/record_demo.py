"""Saves the output of `clipqueue demo` as docs/demo.svg: `python -m tests.support.record_demo` runs it."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

from rich.console import Console

from producer.cli.model import SMALL_MODEL
from producer.local.demo import run_demo

OUTPUT = Path(__file__).parents[2] / "docs" / "demo.svg"
COLUMNS = 80
FONTS = "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace"


def main() -> int:
    """Return the exit code: 0 if every sample image was embedded."""
    # Without a terminal, rich prints the progress bar once, when it is complete.
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    is_complete = run_demo((), console, SMALL_MODEL)
    svg = console.export_svg(title="make demo")
    # Web fonts are blocked where Markdown is rendered, so use a font that readers have.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    OUTPUT.write_text(re.sub(r"font-family: [^;]+;", f"font-family: {FONTS};", svg), encoding="utf-8")
    return 0 if is_complete else 1


if __name__ == "__main__":
    sys.exit(main())
