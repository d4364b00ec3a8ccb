"""`python -m tests.chaos.tied PARENT COMMAND...`: becomes COMMAND, which the kernel kills when the process PARENT ends.

So that a test run which is itself killed leaves no server behind. Linux only; elsewhere it is just COMMAND.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Tie this process to its parent, and become the command."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the tie was made
        sys.exit(1)
    # A server that may write no more is to be told so, as by a full disk, and not to be killed for trying.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    os.execvp(command[0], command)  # noqa: S606  (no shell is what is wanted)


if __name__ == "__main__":
    main()
