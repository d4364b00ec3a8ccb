"""Which variables of the shell reach the worker and the API of an embedded stack.

`clipqueue demo` lets through the few that it lists, so that no setting for other workers spoils it. `clipqueue up` is a
place to try settings, so it lets through all but those that would break the stack.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_MODEL = ("CLIP_MODEL", "CLIP_PRETRAINED")
_SYSTEM = {"PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV"}
# The GPUs that PyTorch sees, and the way around a fault of OpenBLAS on some processors.
_HARDWARE = {"CUDA_VISIBLE_DEVICES", "OPENBLAS_CORETYPE"}
# A download of weights needs these, and nothing else does.
_HUB = {"HF_ENDPOINT", "HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_TOKEN", "XDG_CACHE_HOME"}
_NETWORK = {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_DIR", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"}

# An image whose host does not answer fails after 140 s, and not after a quarter of an hour.
SHORT_RETRIES = {
    "CLIPQUEUE_MAX_RETRIES": "5",
    "CLIPQUEUE_RETRY_CAP_S": "20",
    "CLIPQUEUE_RETRY_AFTER_MAX_S": "20",
}

_CONNECTIONS = ("REDIS_URL", "MONGODB_URI", "MONGO_URL")
# The worker and the API would both take the port of metrics.
_SERVER_OF_THE_STACK = ("CLIPQUEUE_API_HOST", "CLIPQUEUE_API_PORT", "PORT", "CLIPQUEUE_METRICS_PORT")
# `up` starts one worker, which has to do everything, and its health file may belong to another worker.
_ONE_WORKER = ("CLIPQUEUE_SERVE", "CLIPQUEUE_HEALTH_FILE")
# People read its logs, whatever its output is connected to.
LOG_FOR_PEOPLE = {"CLIPQUEUE_LOG_FORMAT": "text"}


def demo_environment(shell: Mapping[str, str], model_env: Mapping[str, str]) -> dict[str, str]:
    """Return the variables for the worker and the API of the demo.

    Args:
        shell: The variables of the shell. None that starts with CLIPQUEUE_ or CELERY_ is let through.
        model_env: The variables that choose the model. Weights that are not bundled may have to be downloaded, so
            their worker gets the variables of the model hub and of proxies too.
    """
    allowed = _SYSTEM | _HARDWARE
    if model_env.get("CLIP_PRETRAINED") != "bundled":
        allowed |= _HUB | _NETWORK
    passed = {name: value for name, value in shell.items() if name.upper() in allowed}
    return {**passed, **SHORT_RETRIES, **model_env}


def up_environment(shell: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of the shell that `clipqueue up` passes on."""
    return {name: value for name, value in shell.items() if not _is_overridden(name)}


def notes_for_up(shell: Mapping[str, str], model_env: Mapping[str, str]) -> list[str]:
    """Return what the operator of `clipqueue up` should know about the variables of the shell, one line each.

    Args:
        shell: The variables of the shell. Their values are not repeated, because some are secret.
        model_env: The variables that `--model` overrides.
    """
    ours = sorted(name for name, value in shell.items() if value and _concerns_the_stack(name))
    ignored = [name for name in ours if name in model_env or _is_overridden(name)]
    passed = [name for name in ours if name not in ignored]
    lines = [f"from your shell, these apply here: {', '.join(passed)}"] if passed else []
    lines += [f"from your shell, these do not apply here: {', '.join(ignored)}"] if ignored else []
    if shell.get("CLIPQUEUE_UPSERT", "").lower() in {"false", "0", "no", "off", "f", "n"}:
        lines.append("CLIPQUEUE_UPSERT is off: the job of an id without a document is dropped")
    return lines


def _is_overridden(name: str) -> bool:
    overridden = (*_CONNECTIONS, *_SERVER_OF_THE_STACK, *_ONE_WORKER, *LOG_FOR_PEOPLE)
    return name in overridden or name.startswith("CELERY_")


def _concerns_the_stack(name: str) -> bool:
    return name.startswith(("CLIPQUEUE_", "CELERY_")) or name in (*_CONNECTIONS, *_MODEL)
