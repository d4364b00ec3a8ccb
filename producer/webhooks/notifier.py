"""The loop of `clipqueue notify`: sends the events one after the other, the oldest first, until each is delivered."""

from __future__ import annotations

import random
import time
from contextlib import suppress
from dataclasses import dataclass
from logging import ERROR, INFO, WARNING
from typing import TYPE_CHECKING

from producer.client.broker import UnsupportedRedis
from producer.client.stop import Stopped
from producer.contract.errors import BrokerUnavailable, ClipqueueError
from producer.contract.names import MAX_ENDED
from producer.webhooks.message import Webhook
from producer.webhooks.receiver import Answer, Fate
from producer.webhooks.record import NotifyRecord

if TYPE_CHECKING:
    from collections.abc import Callable

    from producer.client.stop import Stop
    from producer.webhooks.receiver import Receiver
    from producer.webhooks.stream import Event, EventStream


class ReceiverGone(ClipqueueError):
    """The receiver answered 410: it wants no event any more."""


@dataclass(frozen=True)
class Delays:
    """How long the loop waits, in seconds.

    Attributes:
        away_s: After the first, second, ... attempt in a row that failed because the receiver was away. The last one
            repeats. All events have the same receiver, so they need not wait for hours each.
        refused_s: After the first, second, ... refusal of one event. It is dropped after one refusal more.
        max_retry_after_s: The longest wait that a receiver may ask for.
        redis_s: While Redis is away.
        spare_s: While another process sends.
        renew_s: The longest wait without renewing the lock.
    """

    away_s: tuple[float, ...] = (5.0, 30.0, 120.0, 300.0)
    refused_s: tuple[float, ...] = (30.0, 120.0)
    max_retry_after_s: float = 3600.0
    redis_s: float = 5.0
    spare_s: float = 15.0
    renew_s: float = 15.0

    def after_away(self, failures: int, answer: Answer) -> float:
        """Return how long to wait after so many failures in a row."""
        usual_s = self.away_s[min(failures, len(self.away_s)) - 1]
        share = 0.9 + 0.2 * random.random()  # noqa: S311  (not a secret)
        return max(usual_s * share, min(answer.retry_after_s, self.max_retry_after_s))


class Notifier:
    """Sends what the stream has.

    Args:
        stream: The events.
        receiver: Where they are sent.
        stop: Ends the loop.
        say: Called with the level and the text of each line for the log.
        delays: How long the loop waits.

    Attributes:
        record: What became of the webhooks.
    """

    def __init__(
        self,
        stream: EventStream,
        receiver: Receiver,
        stop: Stop,
        say: Callable[[int, str], object],
        delays: Delays | None = None,
    ) -> None:
        self._stream = stream
        self._receiver = receiver
        self._stop = stop
        self._say = say
        self._delays = delays or Delays()
        self.record = NotifyRecord()
        self._sent = 0
        self._failures = 0  # in a row
        self._refused = ("", 0)  # the event that was refused, and how often
        self._due_at = 0.0  # of the next attempt
        self._state = ""  # what was said last about a wait

    def run(self) -> None:
        """Send events until the loop is stopped.

        Raises:
            ReceiverGone: The receiver answered 410. The events stay.
            UnsupportedRedis: Redis cannot be used.
        """
        try:
            while not self._stop.is_requested:
                self._step_if_redis_answers()
        except Stopped:
            pass
        finally:
            with suppress(BrokerUnavailable):
                self._stream.release()
            self._say(INFO, f"stopped; sent: {self._sent}")

    def _step_if_redis_answers(self) -> None:
        self.record.step()
        try:
            self._step()
        except UnsupportedRedis:
            raise
        except BrokerUnavailable as exc:
            self.record.movement.failed(str(exc))
            self._say_once("away", WARNING, f"{exc}; waiting until it answers")
            self._stop.sleep(self._delays.redis_s)

    def _step(self) -> None:
        event = self._stream.next()
        if event is None:
            self.record.idle()
        if not self._stream.is_ours:
            self._say_once("spare", INFO, "another clipqueue notify sends; this one waits, and takes over when it ends")
            self._stop.sleep(self._delays.spare_s)
            return
        if self._state != "sends":
            self._say_once("sends", INFO, self._describe_backlog())
        if event is None:
            with self._stop.waiting():
                self._stream.wait()
            return
        if event.id != self._refused[0] and self._refused[0]:
            self._refused, self._due_at = ("", 0), 0.0  # it was dropped meanwhile, because too many wait
        left_s = self._due_at - time.monotonic()
        if left_s > 0:
            self._stop.sleep(min(left_s, self._delays.renew_s))
        else:
            self._attempt(event)

    def _attempt(self, event: Event) -> None:
        try:
            webhook = Webhook.of(event.content)
        except ValueError as exc:
            self._drop(event, str(exc))
            return
        answer = self._receiver.send(webhook)
        if answer.fate is Fate.GONE:
            raise ReceiverGone(
                f"{self._receiver.shown} wants no more webhooks: {answer.reason}. Unset CLIPQUEUE_WEBHOOK_URL, for the "
                "workers too, or set another one. The events that wait stay on Redis"
            )
        if answer.fate is Fate.DELIVERED:
            self._finish(event)
        elif answer.fate is Fate.AWAY:
            self._failures += 1
            self._retry(webhook, answer, self._delays.after_away(self._failures, answer))
        else:
            self._refuse(event, webhook, answer)

    def _finish(self, event: Event) -> None:
        self._stream.finish(event)
        self.record.delivered()
        if self._failures:
            self._say(INFO, f"{self._receiver.shown} answers again, after {self._failures} failed attempts")
        self._sent += 1
        self._failures, self._refused = 0, ("", 0)

    def _refuse(self, event: Event, webhook: Webhook, answer: Answer) -> None:
        count = self._refused[1] + 1
        self._failures = 0  # it is not away
        if count > len(self._delays.refused_s):
            self._drop(event, f"webhook {webhook.id} was refused {count} times: {answer.reason}")
            return
        self._refused = (event.id, count)
        self._retry(webhook, answer, self._delays.refused_s[count - 1])

    def _retry(self, webhook: Webhook, answer: Answer, delay_s: float) -> None:
        self._due_at = time.monotonic() + delay_s
        self.record.retried(f"{self._receiver.shown}: {answer.reason}")
        again = f"webhook {webhook.id} is sent again in {delay_s:.0f} s"
        self._say(WARNING, f"{self._receiver.shown}: {answer.reason}; {again}")

    def _drop(self, event: Event, reason: str) -> None:
        self._stream.finish(event, is_refused=True)
        self.record.dropped()
        self._refused = ("", 0)
        self._say(ERROR, f"event {event.id} is dropped: {reason}")

    def _describe_backlog(self) -> str:
        counts = self._stream.counts()
        lost = f", dropped before because more than {MAX_ENDED:,} waited: {counts.dropped}" if counts.dropped else ""
        refused = f", refused before: {counts.refused}" if counts.refused else ""
        return f"sending webhooks to {self._receiver.shown}; waiting: {counts.waiting}{lost}{refused}"

    def _say_once(self, state: str, level: int, line: str) -> None:
        if state != self._state:
            self._say(level, line)
        self._state = state
