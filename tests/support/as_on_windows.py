"""Runs commands of clipqueue without what Windows lacks: `python -m tests.support.as_on_windows COMMANDS`.

COMMANDS is a JSON list of command lines. Standard output is JSON: the modules of `producer` that cannot be imported,
each with the reason, and the exit code and the output of each command.

This tells about clipqueue's own code. Libraries are imported before anything is taken away, because they decide by the
platform at import, and their code for Windows cannot run here.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import signal
import socket
import sys

from click.testing import CliRunner

LIBRARIES = (
    *("asyncio", "ctypes", "dns.resolver", "ephemeral_port_reserve", "fastapi", "fastapi_swagger", "kombu"),
    *("multiprocessing", "numpy", "pydantic_settings", "pymongo", "redis", "requests", "rich.progress", "rich.table"),
    *("starlette", "tqdm", "uvicorn.protocols.http.h11_impl", "webbrowser"),
)
MISSING_MODULES = ("fcntl", "grp", "pwd", "resource", "termios", "tty", "pty", "syslog", "_posixsubprocess")
MISSING = {
    signal: "SIGALRM SIGCHLD SIGCONT SIGHUP SIGKILL SIGPIPE SIGQUIT SIGSTOP SIGTSTP SIGUSR1 SIGUSR2 SIGWINCH SIGXCPU "
    "alarm pause pthread_kill pthread_sigmask setitimer siginterrupt sigpending sigwait sigwaitinfo",
    os: "chown fchmod fork forkpty geteuid getgid getpgid getuid killpg mkfifo nice pidfd_open posix_spawn pread "
    "pwrite register_at_fork sched_getaffinity sendfile setpgid setsid setuid statvfs sysconf uname wait waitid",
    socket: "AF_UNIX CMSG_LEN SO_REUSEPORT socketpair",
}


def take_away() -> None:
    """Remove what Windows lacks from modules that are there already, and let the rest fail to import."""
    for name in MISSING_MODULES:
        sys.modules[name] = None  # type: ignore[assignment]
    for module, names in MISSING.items():
        for name in names.split():
            if hasattr(module, name):
                delattr(module, name)
    # Not `os.name`: `pathlib.Path` would refuse to work.
    sys.platform = "win32"


def import_all() -> dict[str, str]:
    """Import every module of the producer, and return the reason for each that fails."""
    import producer  # noqa: PLC0415  (its modules must not be imported before)

    failed = {}
    for module in pkgutil.walk_packages(producer.__path__, "producer."):
        if module.name != "producer.__main__":
            try:
                importlib.import_module(module.name)
            except (ImportError, AttributeError) as exc:
                failed[module.name] = str(exc)
    return failed


def main() -> None:
    """Import the producer and run the commands."""
    for library in LIBRARIES:
        importlib.import_module(library)
    take_away()
    failed = import_all()
    from producer.cli.main import cli  # noqa: PLC0415

    results = [CliRunner().invoke(cli, command, prog_name="clipqueue") for command in json.loads(sys.argv[1])]
    runs = [(result.exit_code, result.output, repr(result.exception)) for result in results]
    print(json.dumps({"failed": failed, "runs": runs}))  # noqa: T201


if __name__ == "__main__":
    main()
