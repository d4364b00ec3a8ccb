"""`python -m tests.check worker/fetch/dns.py` or `fetch`: lint, type-check and test one file or package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> int:
    """Return the exit code: 0 if every check passed."""
    if len(sys.argv) == 1:
        sys.stderr.write("name a package or a file: make check fetch, or make check FILE=worker/fetch/dns.py\n")
        return 2
    sources = [source for argument in sys.argv[1:] for source in find_sources(argument)]
    tests = sorted({test for source in sources for test in find_tests(source)})
    # The JavaScript package has no Python; its tests call its compiler.
    paths = sorted(
        {str(path.relative_to(ROOT)) for path in (*sources, *tests) if path.is_file() or any(path.rglob("*.py"))}
    )
    commands = [["ruff", "check"], ["ruff", "format", "--check"], ["mypy"]]
    if any(_run(*command, *paths) for command in commands):
        return 1
    return _run("pytest", "-q", *(str(test.relative_to(ROOT)) for test in tests)) if tests else 0


def find_sources(argument: str) -> list[Path]:
    """Return the file or folder of that path, or the package of that name in `worker` or `producer`."""
    candidates = [ROOT / argument, ROOT / "worker" / argument, ROOT / "producer" / argument]
    found = [path for path in candidates if path.exists()]
    if not found:
        sys.exit(f"{argument} is neither a file nor a package")
    return found


def find_tests(source: Path) -> list[Path]:
    """Return the tests of a source: those named after it, else all tests of its package."""
    path = source.relative_to(ROOT)
    if path.parts[0] == "tests":
        return [source]
    package = ROOT / "tests" / (path if source.is_dir() else path.parent)
    named = sorted((package if package.is_dir() else package.parent).glob(f"test_{path.stem}*.py"))
    if named or len(path.parts) == 2:
        return named or ([package] if source.is_dir() else [])
    while not package.is_dir():  # a folder inside a package
        named = sorted(package.parent.glob(f"test_{package.name}*.py"))
        if named:
            return named
        package = package.parent
    return [package]


def _run(program: str, *arguments: str) -> int:
    return subprocess.run([Path(sys.executable).parent / program, *arguments], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
