"""How Celery sees a job of the queue: which events tell Flower of it, and what remote control shows of it."""

from __future__ import annotations

from typing import Any

from celery.worker.request import Request

_FAILURES = ("task-failed", "task-retried")


class JobRequest(Request):
    """Celery's request, which sends events as CLIPQUEUE_EVENTS says, and shows no query of a URL."""

    def send_event(self, type: str, **fields: Any) -> None:  # noqa: A002  (Celery's name)
        """Send an event of the job: each one with `all`, those of failures with `failures`, else none.

        Flower learns a job's arguments from the event that it was received. Without that one, each event has them.
        """
        if self.task.send_events:
            super().send_event(type, **fields)
        elif self.app.tells_failures and self._is_of_failure(type) and self.eventer and self.eventer.enabled:
            self.eventer.send(type, uuid=self.id, **self._describe(), **fields)

    def info(self, safe: bool = False) -> dict[str, Any]:  # noqa: ARG002, FBT001, FBT002  (Celery's signature)
        """Return what `celery inspect` and Flower show of a running job: its arguments without the URL's query."""
        shown: dict[str, Any] = super().info(safe=True)
        return shown

    def _is_of_failure(self, event: str) -> bool:
        # Flower shows a job as retried for ever, unless it is told of the success.
        return event in _FAILURES or (event == "task-succeeded" and bool(self.request_dict.get("retries")))

    def _describe(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "args": self.argsrepr,
            "kwargs": self.kwargsrepr,
            "retries": self.request_dict.get("retries", 0),
            # Flower sorts by the time at which a job was received. Threads start jobs as soon as they are received.
            "received": self.time_start,
            "started": self.time_start,
        }
