"""`python producer/local/tied.py COMMAND...` becomes COMMAND, which gets SIGTERM when its parent process ends.

For the Makefile: a command that `make` started ends even if `make` is killed with SIGKILL. The parent must have one
thread, since the kernel sends the signal when the thread that started the command ends. Linux only; elsewhere COMMAND
just runs.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ask the kernel to send SIGTERM when the parent exits, then exec the command."""
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # the parent ended before the call
            sys.exit(1)
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606  (no shell is wanted)


if __name__ == "__main__":
    main()
