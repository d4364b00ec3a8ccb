"""Runs every fuzz target for a set time, from the corpus of hostile files; exits 1 if one fails.

What made a target fail lies in the folder that is printed; give it to `python -m tests.fuzz.targets NAME FILE`.
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
_SLOWEST_S = 20
_MEMORY_MB = 4096


def seeds() -> dict[str, list[bytes]]:
    """Return what each target starts from."""
    items = [*PARKED.values(), *REPAIRED.values()]
    spellings = [url.encode() for url in SPELLINGS]
    files = [small_jpeg(), *(one.build() for one in SPECIMENS)]
    return {
        "addresses": [url.partition(b"://")[2].strip(b"/") for url in spellings],
        "urls": spellings,
        "messages": [item if isinstance(item, bytes) else item.encode() for item in items],
        "decoding": files,
    }


def main() -> int:
    """Run the targets that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("targets", nargs="*", default=["addresses", "urls", "messages", "decoding"])
    options = parser.parse_args()
    found = Path(tempfile.mkdtemp(prefix="clipqueue-fuzz-"))
    failed, starts = [], seeds()
    for target in options.targets:
        corpus = found / target
        corpus.mkdir()
        for number, seed in enumerate(starts[target]):
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
        limits = [f"-max_len={_MAX_INPUT_BYTES}", f"-timeout={_SLOWEST_S}", f"-rss_limit_mb={_MEMORY_MB}"]
        done = subprocess.run([*command, *limits, f"-artifact_prefix={found}/{target}-"], check=False)
        failed += [target] if done.returncode else []
    print(f"failed: {', '.join(failed) or 'none'}; inputs in {found}")  # noqa: T201
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
