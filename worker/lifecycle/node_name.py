"""The node name of a worker process, unlike that of any other worker, also on the same host."""

from __future__ import annotations

import uuid

import click
from celery.utils.nodenames import default_nodename, gethostname, nodename
from click.core import ParameterSource


def unique_node_name(given: str) -> str:
    """Return `given` if the operator has chosen it, else a name such as `clipqueue-1f0c93d2@host`.

    Celery's default is the same for all workers of a host, and with it their mailbox for remote control, their line in
    Flower and their heartbeat. The process id would not do instead: it is 1 in every container, and containers may
    share the host's name.

    Args:
        given: Celery's name of this process.
    """
    if given != default_nodename(None) or _is_chosen():
        return given
    return str(nodename(f"clipqueue-{uuid.uuid4().hex[:8]}", gethostname()))


def _is_chosen() -> bool:
    """Return whether the command line (-n) or the environment (CELERY_WORKER_HOSTNAME) gives the node name."""
    context = click.get_current_context(silent=True)
    source = context.get_parameter_source("hostname") if context else None
    return source in (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)
