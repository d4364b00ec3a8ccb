"""Runs the fuzz targets for a set time, starting from the hostile test data; exits with 1 if one fails.

Prints the folder with the inputs of failures. `python -m tests.fuzz.targets NAME FILE` reproduces one.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.hostile.corpus import SPECIMENS
from tests.hostile.messages import PARKED, REPAIRED
from tests.hostile.test_addresses import SPELLINGS
from tests.support.pictures import small_jpeg

_MAX_SEED_BYTES = 20_000
_MAX_INPUT_BYTES = 65_536
_MAX_INPUT_S = 20
_MEMORY_MB = 4096


def seeds() -> dict[str, list[bytes]]:
    """Return the initial inputs of each target."""
    messages = [*PARKED.values(), *REPAIRED.values()]
    urls = [url.encode() for url in SPELLINGS]
    files = [small_jpeg(), *(one.build() for one in SPECIMENS)]
    return {
        "addresses": [url.partition(b"://")[2].strip(b"/") for url in urls],
        "urls": urls,
        "messages": [message if isinstance(message, bytes) else message.encode() for message in messages],
        "decoding": files,
    }


def main() -> int:
    """Run the targets named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="seconds for each target")
    parser.add_argument("targets", nargs="*", default=["addresses", "urls", "messages", "decoding"])
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="clipqueue-fuzz-"))
    failed, initial = [], seeds()
    for target in options.targets:
        corpus = folder / target
        corpus.mkdir()
        for number, seed in enumerate(initial[target]):
            if len(seed) <= _MAX_SEED_BYTES:
                (corpus / f"seed-{number}").write_bytes(seed)
        command = [
            sys.executable,
            "-m",
            "tests.fuzz.targets",
            target,
            str(corpus),
            f"-max_total_time={options.seconds}",
        ]
        limits = [f"-max_len={_MAX_INPUT_BYTES}", f"-timeout={_MAX_INPUT_S}", f"-rss_limit_mb={_MEMORY_MB}"]
        done = subprocess.run([*command, *limits, f"-artifact_prefix={folder}/{target}-"], check=False)
        failed += [target] if done.returncode else []
    print(f"failed: {', '.join(failed) or 'none'}; inputs in {folder}")  # noqa: T201
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
