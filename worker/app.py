"""The Celery application: `celery -A worker.app worker` is the whole command, everything else is set here."""

from __future__ import annotations

import gc
import logging
import os
import signal
import ssl
import sys
from typing import TYPE_CHECKING, Any

from celery import Celery
from celery.signals import setup_logging, worker_init, worker_shutdown, worker_shutting_down
from kombu.entity import Queue

from producer.contract.names import IMAGE_QUEUE, IMAGE_TASK
from worker.broker.transport import Channel
from worker.broker.transport import install as install_transport
from worker.errors import StartupError, StoreUnavailable
from worker.lifecycle.events import EventFlush
from worker.lifecycle.logs import configure_logging
from worker.settings import Settings, SettingsError, load_settings

if TYPE_CHECKING:
    from worker.wiring import Runtime

logger = logging.getLogger(__name__)


class WorkerApp(Celery):
    """A Celery application with the parts that its tasks share.

    Attributes:
        runtime: Set in a worker process before it takes its first message, and only there.
    """

    runtime: Runtime


def create_app(settings: Settings) -> WorkerApp:
    """Return the application for these settings. Opens no connection."""
    install_transport()
    celery = WorkerApp("clipqueue", broker=settings.redis_url, include=["worker.tasks"], set_as_current=False)
    celery.conf.update(
        task_queues=[Queue(IMAGE_QUEUE)],  # type: ignore[no-untyped-call]
        task_default_queue=IMAGE_QUEUE,
        task_routes={IMAGE_TASK: IMAGE_QUEUE},
        # threads: the model lives once in the process (CUDA cannot be used after a fork), and images in flight
        # meet in the batcher. Set here, since this wins over the command line's default.
        worker_pool="threads",
        worker_concurrency=settings.concurrency,
        worker_prefetch_multiplier=1,
        task_acks_late=True,
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        worker_send_task_events=True,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        # What Redis refuses, as with a full disk, is no reason to end either.
        broker_channel_error_retry=True,
        # These two need a pool that can kill a task; the threads pool cannot, and would end in an error.
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_soft_shutdown_timeout=0,
        broker_transport_options={
            "visibility_timeout": settings.visibility_timeout_s,
            # The default looks for a dead worker's jobs only every 100 s (interval 10 s x throttle 10).
            "unacked_restore_interval": settings.restore_interval_s,
            "unacked_restore_throttle": 1,
            "unacked_mutex_expire": 30,
            # Each thread may ack at the same moment; kombu's pool has ten, and refuses the eleventh.
            "max_connections": settings.concurrency + 8,
            "socket_timeout": 10,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            "health_check_interval": 10,
            "client_name": "clipqueue-worker",
            "max_countdown_s": settings.retry_cap_s,
        },
    )
    celery.steps["consumer"].add(EventFlush)
    if settings.redis_url.startswith("rediss://"):
        # kombu checks no certificate at all unless told to.
        celery.conf.broker_use_ssl = {"ssl_cert_reqs": ssl.CERT_REQUIRED}
    return celery


def _load_settings() -> Settings:
    try:
        return load_settings()
    except SettingsError as exc:
        sys.exit(str(exc))


_settings = _load_settings()
app = create_app(_settings)


@setup_logging.connect
def _set_up_logging(**_: Any) -> None:
    configure_logging(_settings.log_level)


# worker_init and not worker_process_init, which the threads pool never sends. It runs before the worker connects
# to Redis, so the model is warm before the first message is taken.
@worker_init.connect
def _start(sender: Any, **_: Any) -> None:
    configure_logging(_settings.log_level)
    # Celery's own handler comes later, and process 1 of a container ignores what has none.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    # Threads of PyTorch spin when they wait for each other, and for some milliseconds after the model's last step too,
    # when others need the processors: MongoDB, above all, to write the vector. libgomp reads this as torch is loaded.
    os.environ.setdefault("GOMP_SPINCOUNT", "50000")
    # Here and not above: Flower imports this module too, and needs neither torch nor motor.
    from worker.wiring import build_runtime  # noqa: PLC0415

    try:
        app.runtime = build_runtime(_settings, sender.hostname)
        sender.concurrency = min(sender.concurrency, app.runtime.concurrency)
        app.conf.broker_transport_options["max_unacked"] = 2 * sender.concurrency
        Channel.may_take = lambda _: not app.runtime.store.is_away
        app.runtime.watch.start()
        # The model and its libraries are half a million objects that stay: to look through them for garbage would
        # stop every thread for a fifth of a second, now and then.
        gc.freeze()
    except (StartupError, StoreUnavailable) as exc:
        logger.critical(exc)
        sys.exit(1)
    except Exception:
        # Celery logs what a signal handler raises and goes on, here with a worker that could run no job. It lets
        # SystemExit through.
        logger.critical("the worker cannot start", exc_info=True)
        sys.exit(1)


@worker_shutting_down.connect
def _begin_drain(**_: Any) -> None:
    if app.runtime.drain.has_begun:
        app.runtime.watch.give_back_and_end()
    app.runtime.drain.begin()


@worker_shutdown.connect
def _stop(**_: Any) -> None:
    app.runtime.close()
