"""The Celery application. `celery -A worker.app worker` starts a worker; all options are set here."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

from celery import Celery
from celery.signals import celeryd_init, setup_logging, worker_init, worker_shutdown, worker_shutting_down
from kombu.entity import Queue

from producer.contract.errors import ConfigurationError
from producer.contract.names import IMAGE_QUEUE, IMAGE_TASK
from producer.contract.redis_url import parse_redis_url
from producer.telemetry.logs import exit_with
from producer.telemetry.settings import TelemetrySettings
from worker.errors import StartupError, StoreUnavailable, UnusableLibrary
from worker.lifecycle.node_name import unique_node_name
from worker.lifecycle.state import ProcessState
from worker.selftest.libraries import check_libraries
from worker.settings import Settings, SettingsError, load_settings
from worker.telemetry.logs import configure_logging, log_start, quiet_celery
from worker.telemetry.sentry import hide_queries
from worker.telemetry.serving import Serving

if TYPE_CHECKING:
    from worker.wiring import Runtime

logger = logging.getLogger(__name__)


class WorkerApp(Celery):
    """A Celery application with the parts that its tasks share.

    Attributes:
        state: Shared by the consumer and the tasks.
        runtime: Set in a worker process before it consumes its first message, and nowhere else.
        redis_shown: What may be told of where Redis is.
        tells_all: Whether each job sends its events to Flower.
        tells_failures: Whether jobs that fail or are retried do.
        serving: The process's metrics and health over HTTP.
    """

    state: ProcessState
    runtime: Runtime
    redis_shown: str
    tells_all: bool
    tells_failures: bool
    serving: Serving


def create_app(settings: Settings) -> WorkerApp:
    """Return the application for these settings. Opens no connection.

    Raises:
        UnusableLibrary: The installed Celery, kombu or redis-py does not work as the worker needs.
    """
    check_libraries("celery", "kombu", "redis")
    # Imported here because they need the parts that were just checked.
    from worker.broker.sentinel import celery_settings, install  # noqa: PLC0415
    from worker.lifecycle.events import EventFlush  # noqa: PLC0415
    from worker.lifecycle.loop import LoopTicks  # noqa: PLC0415

    install()
    url = parse_redis_url(settings.redis_url)
    connection = celery_settings(url)
    celery = WorkerApp("clipqueue", broker=connection["broker_url"], include=["worker.tasks"], set_as_current=False)
    celery.state = ProcessState(settings.drain_s, serves_images=settings.serves_images)
    celery.redis_shown = url.shown
    celery.tells_all, celery.tells_failures = settings.events == "all", settings.events != "off"
    celery.serving = Serving(celery.state.condition.live, celery.state.condition.ready)
    celery.conf.broker_use_ssl = connection["broker_use_ssl"]
    celery.conf.update(
        task_queues=[Queue(IMAGE_QUEUE)],  # type: ignore[no-untyped-call]
        task_default_queue=IMAGE_QUEUE,
        task_routes={IMAGE_TASK: IMAGE_QUEUE},
        # threads: the process loads the model once (CUDA cannot be used after a fork), and the batcher collects images
        # from all threads. The command line has another default, and this setting overrides it.
        worker_pool="threads",
        worker_concurrency=settings.concurrency,
        worker_prefetch_multiplier=1,
        # `celery control rate_limit` would let a worker hold jobs that it does not run, unnoticed.
        worker_disable_rate_limits=True,
        task_acks_late=True,
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        # `embed_image` decides of which jobs. With False, remote control (`enable_events`) would change a worker.
        worker_send_task_events=True,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        # A Redis that refuses writes, because its disk is full, must not end the worker.
        broker_channel_error_retry=True,
        # Both need a pool that can kill a task, which the threads pool cannot. The worker would crash with them on.
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_soft_shutdown_timeout=0,
        broker_transport_options={
            "visibility_timeout": settings.visibility_timeout_s,
            "unacked_restore_interval": settings.restore_interval_s,
            **connection["broker_transport_options"],
            "consumption": celery.state.consumption,
        },
    )
    celery.steps["consumer"].update([EventFlush, LoopTicks])
    return celery


def _start_app() -> tuple[Settings, WorkerApp]:
    try:
        settings = load_settings()
        return settings, create_app(settings)
    except (SettingsError, UnusableLibrary) as exc:
        exit_with(str(exc))


_settings, app = _start_app()


@setup_logging.connect
def _leave_logging_alone(**_: Any) -> None:
    """Keep Celery from setting up the log again."""


# Sent when a worker has its node name and no other part has read it yet, and before Celery writes anything.
@celeryd_init.connect
def _name_node(instance: Any, **_: Any) -> None:
    configure_logging(_settings)
    quiet_celery(instance)
    instance.hostname = unique_node_name(instance.hostname)
    log_start(_settings, instance.hostname)


# Not worker_process_init, which the threads pool never sends. worker_init is sent before the worker connects to Redis,
# so the model is warm before the first message is consumed.
@worker_init.connect
def _start(sender: Any, **_: Any) -> None:
    if sys.platform == "win32":
        logger.critical("the worker runs on Linux and macOS; on Windows, run it in WSL 2 or in Docker")
        sys.exit(1)
    # Celery installs its own handler later. Until then, a worker that is PID 1 of a container would ignore SIGTERM.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    # PyTorch's threads spin while they wait for each other, and for some milliseconds after a forward pass, which slows
    # down the write of the vector to MongoDB. libgomp reads this variable when torch is imported.
    os.environ.setdefault("GOMP_SPINCOUNT", "50000")
    try:
        hide_queries()
        check_libraries("python", "requests", "urllib3", "dnspython", "pillow", "pillow-heif")
        app.serving.start(TelemetrySettings.from_env())
        # Imported here because Flower imports this module too, without torch and motor installed.
        from worker.lifecycle import remote_control  # noqa: F401, PLC0415  (registers its command)
        from worker.lifecycle.events import EVENT_HEARTBEAT_S  # noqa: PLC0415
        from worker.wiring import build_runtime  # noqa: PLC0415

        app.runtime = build_runtime(_settings, app.state, sender.hostname)
        sender.concurrency = min(sender.concurrency, app.runtime.concurrency)
        if sender.options.get("heartbeat_interval") is None:
            sender.options["heartbeat_interval"] = EVENT_HEARTBEAT_S
        # Otherwise each worker reads the heartbeats of all others, and asks all at its start what they have revoked,
        # which takes a second.
        sender.options.update(without_gossip=True, without_mingle=True)
        app.runtime.start()
        app.serving.show(app.runtime.telemetry)
        # The model and its libraries are half a million long-lived objects. Collecting garbage among them would stop
        # every thread for a fifth of a second now and then.
        gc.freeze()
    except (StartupError, StoreUnavailable, ConfigurationError) as exc:
        logger.critical(exc)
        sys.exit(1)
    except Exception:
        # Celery logs an error of a signal handler and continues, here with a worker that cannot run jobs. SystemExit
        # ends the process.
        logger.critical("the worker cannot start", exc_info=True)
        sys.exit(1)


@worker_shutting_down.connect
def _drain(sig: str, **_: Any) -> None:
    logger.info("%s: the worker finishes or requeues its jobs within %g s", sig, _settings.drain_s)
    if app.state.drain.is_draining:
        app.runtime.watchdog.requeue_and_exit()
    app.state.drain.start()


@worker_shutdown.connect
def _stop(**_: Any) -> None:
    app.runtime.close()
    app.serving.close()
