"""`clipqueue notify` sends each event at least once and in order, whatever the receiver and Redis do meanwhile."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from ephemeral_port_reserve import reserve

from producer.client.broker import Broker
from producer.contract.errors import ConfigurationError
from producer.contract.names import ENDED, ENDED_DROPPED, ENDED_REFUSED, NOTIFY_LOCK
from producer.webhooks.message import Webhook
from producer.webhooks.notifier import Delays, ReceiverGone
from producer.webhooks.receiver import Answer as Judged
from producer.webhooks.receiver import Fate, Receiver
from producer.webhooks.settings import WebhookSettings
from producer.webhooks.stream import EventStream
from tests.producer.webhooks.conftest import QUICK, Notify, add_events
from tests.support.servers import Answer, SocketServer
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis

    from producer.local.stack import Stack
    from tests.support.receiver import WebhookReceiver

WEBHOOK = Webhook("one", b"{}")
GENERAL = Answer(b"", 204)


@pytest.fixture
def redis_url(own: Stack) -> str:
    """A Redis that some tests fill or disconnect."""
    return own.redis_url.removesuffix("0") + "6"


def judge(receiver: WebhookReceiver, answer: Answer) -> Judged:
    receiver.answer = lambda _: answer
    with closing(Receiver(WebhookSettings(receiver.hook, (b"x" * 24,)))) as sender:
        return sender.send(WEBHOOK)


def sender_to(url: str, timeout_s: float) -> Receiver:
    return Receiver(WebhookSettings(url, (b"x" * 24,)), timeout_s=timeout_s)


def is_empty(queue: redis.Redis) -> Callable[[], bool]:
    return lambda: queue.xlen(ENDED) == 0


@pytest.mark.parametrize(
    ("fate", "statuses"),
    [
        (Fate.DELIVERED, (200, 201, 202, 204, 299)),
        (
            Fate.AWAY,
            (101, 301, 302, 304, 307, 308, 401, 402, 403, 404, 405, 408, 425, 429, 451, 500, 502, 503, 504, 599),
        ),
        (Fate.REFUSED, (400, 409, 413, 415, 422)),
        (Fate.GONE, (410,)),
    ],
)
def test_what_becomes_of_an_attempt(receiver: WebhookReceiver, fate: Fate, statuses: tuple[int, ...]) -> None:
    for status in statuses:
        answer = judge(receiver, Answer(b"", status, {"Location": receiver.url}))
        assert (status, answer.fate) == (status, fate)
        assert str(status) in answer.reason
    assert len(receiver.received) == len(statuses), "a redirect was followed"


@pytest.mark.parametrize(
    ("header", "expected_s"),
    [("7", 7.0), ("Wed, 21 Oct 2026 07:28:00 GMT", 60.0), ("soon", 0.0), ("-1", 0.0), ("²", 0.0), ("", 0.0)],
)
def test_a_receiver_that_is_busy_says_until_when(receiver: WebhookReceiver, header: str, expected_s: float) -> None:
    receiver.answer = lambda _: Answer(b"", 503, {"Retry-After": header})
    settings = WebhookSettings(receiver.hook, (b"x" * 24,))
    with closing(Receiver(settings, clock=lambda: 1_792_567_620.0)) as sender:
        assert sender.send(WEBHOOK).retry_after_s == expected_s


def test_the_delays_grow_to_five_minutes_or_what_the_receiver_asks_for() -> None:
    delays, answer = Delays(), Judged(Fate.AWAY, "")
    for failures, expected in ((1, 5), (2, 30), (3, 120), (4, 300), (99, 300)):
        assert delays.after_away(failures, answer) == pytest.approx(expected, rel=0.11)
    assert delays.after_away(1, Judged(Fate.AWAY, "", 200.0)) == 200.0
    assert delays.after_away(1, Judged(Fate.AWAY, "", 1e9)) == 3600.0


def hang(connection: socket.socket) -> None:
    while connection.recv(65_536):
        pass


def refuse_to_talk(connection: socket.socket) -> None:
    """End the answer, then read all. A close with unread bytes would reset the connection, which is another error."""
    connection.shutdown(socket.SHUT_WR)
    hang(connection)


@pytest.mark.parametrize(("serve", "reason"), [(refuse_to_talk, "Remote"), (hang, "within 0.2 s")])
def test_a_receiver_that_does_not_answer_is_away(serve: Callable[[socket.socket], None], reason: str) -> None:
    with SocketServer(serve) as server:
        settings = WebhookSettings(f"{server.url}path-secret?query-secret", (b"x" * 24,))
        with closing(Receiver(settings, timeout_s=0.2)) as sender:
            answer = sender.send(WEBHOOK)
    assert answer.fate is Fate.AWAY
    assert reason in answer.reason
    assert "secret" not in answer.reason


OK, CHUNKED = b"HTTP/1.1 200 OK\r\n", b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("beginning", "part", "fate"),
    [
        (OK + b"Content-Length: 1000\r\n\r\n", b"x", Fate.DELIVERED),
        (OK + CHUNKED, b"0", Fate.DELIVERED),
        (OK + CHUNKED + b"0\r\n", b"x", Fate.DELIVERED),
        (OK + b"X: ", b"x", Fate.AWAY),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n", Fate.AWAY),
        (b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 1000\r\n\r\n", b"x", Fate.AWAY),
    ],
    ids=["body", "chunk", "trailer", "head", "100", "redirect"],
)
def test_an_answer_that_arrives_byte_by_byte_is_not_waited_for(beginning: bytes, part: bytes, fate: Fate) -> None:
    cut_off, stop = threading.Event(), threading.Event()

    def drip(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(beginning)
        while not stop.wait(0.02):
            try:
                connection.sendall(part)
            except OSError:
                cut_off.set()
                return

    with SocketServer(drip) as server, closing(sender_to(server.url, timeout_s=0.2)) as sender:
        thread = threading.Timer(20.0, stop.set)  # ends a test that fails
        thread.start()
        answer = sender.send(WEBHOOK)
        wait_for(lambda: cut_off.is_set() or stop.is_set(), "the connection to be closed")
        thread.cancel()
    assert not stop.is_set()
    assert answer.fate is fate


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_receiver_that_cannot_be_connected_is_away(scheme: str, receiver: WebhookReceiver) -> None:
    port = reserve() if scheme == "http" else receiver.url.rpartition(":")[2]  # this one does not speak TLS
    with closing(Receiver(WebhookSettings(f"{scheme}://127.0.0.1:{port}/?secret", (b"x" * 24,)))) as sender:
        answer = sender.send(WEBHOOK)
    assert answer.fate is Fate.AWAY
    assert "secret" not in answer.reason
    assert ("Connection refused" if scheme == "http" else "SSL") in answer.reason


def test_a_url_that_no_request_can_be_made_from_is_refused_at_once() -> None:
    with pytest.raises(ConfigurationError, match="CLIPQUEUE_WEBHOOK_URL"):
        Receiver(WebhookSettings("http://*.example/", (b"x" * 24,)))


def test_a_large_or_broken_answer_counts_by_its_status(receiver: WebhookReceiver) -> None:
    assert judge(receiver, Answer(b"x" * 1_000_000)).fate is Fate.DELIVERED
    assert judge(receiver, Answer(b"short", 200, {"Content-Encoding": "gzip"})).fate is Fate.DELIVERED


def test_events_are_sent_in_order_over_one_connection_and_removed(
    queue: redis.Redis, receiver: WebhookReceiver, notify: Callable[..., Notify]
) -> None:
    receiver.answer = lambda _: Answer(b"thank you")
    add_events(queue, *"abc")
    one = notify()
    wait_for(is_empty(queue), "the events to be delivered")
    add_events(queue, *"de")
    wait_for(is_empty(queue), "the later events to be delivered")
    one.stop()
    assert receiver.images == list("abcde")
    assert [request.id for request in receiver.received] == [f"task-{name}" for name in "abcde"]
    assert len({request.connection for request in receiver.received}) == 1
    assert "waiting: 3" in one.lines[0]
    assert one.lines[-1] == "stopped; sent: 5"
    assert len(one.lines) == 2
    assert not queue.exists(NOTIFY_LOCK)


def test_a_receiver_that_is_away_loses_nothing_and_the_others_wait(
    queue: redis.Redis, receiver: WebhookReceiver, notify: Callable[..., Notify]
) -> None:
    answers = [Answer(b"", 503), Answer(b"", 302, {"Location": "/"}), Answer(b"", 429), GENERAL]
    receiver.answer = lambda _: answers.pop(0) if len(answers) > 1 else answers[0]
    add_events(queue, *"ab")
    one = notify()
    wait_for(is_empty(queue), "the events to be delivered")
    one.stop()
    assert receiver.images == ["a", "a", "a", "a", "b"]
    assert len({request.body for request in receiver.received[:4]}) == 1
    assert "503" in one.log
    assert "redirects are not followed" in one.log
    assert "answers again, after 3 failed attempts" in one.log
    assert "secret" not in one.log


def test_an_event_that_is_refused_again_and_again_is_dropped_and_counted(
    queue: redis.Redis, receiver: WebhookReceiver, notify: Callable[..., Notify]
) -> None:
    receiver.answer = lambda request: Answer(b"", 422) if b'"bad"' in request.body else GENERAL
    add_events(queue, "bad", "good")
    queue.xadd(ENDED, {"event": "not from a worker"})
    queue.xadd(ENDED, {"event": "[" * 100_000})
    queue.xadd(ENDED, {"other": "field"})
    one = notify()
    wait_for(is_empty(queue), "the stream to be empty")
    one.stop()
    assert receiver.images == ["bad", "bad", "bad", "good"]
    assert queue.get(ENDED_REFUSED) == b"4"
    assert "webhook task-bad was refused 3 times: it answered 422" in one.log
    assert not queue.exists(ENDED_DROPPED)


def test_an_event_that_was_dropped_while_it_was_refused_delays_no_other(
    queue: redis.Redis, receiver: WebhookReceiver, notify: Callable[..., Notify]
) -> None:
    receiver.answer = lambda request: Answer(b"", 400) if b'"bad"' in request.body else GENERAL
    add_events(queue, "bad", "good")
    notify(delays=Delays(refused_s=(3600.0,), renew_s=0.05))
    wait_for(lambda: receiver.received, "the first attempt")
    queue.xtrim(ENDED, maxlen=1, approximate=False)
    wait_for(is_empty(queue), "the next event to be delivered")
    assert receiver.images == ["bad", "good"]


def test_a_receiver_that_wants_no_more_ends_it_and_the_events_stay(
    queue: redis.Redis, receiver: WebhookReceiver, notify: Callable[..., Notify]
) -> None:
    receiver.answer = lambda _: Answer(b"", 410)
    add_events(queue, *"ab")
    one = notify()
    one.wait()
    assert isinstance(one.error, ReceiverGone)
    assert "410" in str(one.error)
    assert queue.xlen(ENDED) == 2
    assert not queue.exists(NOTIFY_LOCK)


def test_one_of_two_sends_and_the_other_takes_over(
    queue: redis.Redis, receiver: WebhookReceiver, notify: Callable[..., Notify]
) -> None:
    first = notify()
    wait_for(lambda: queue.exists(NOTIFY_LOCK), "the lock")
    second = notify()
    wait_for(lambda: "another clipqueue notify sends" in second.log, "the second to wait")
    add_events(queue, *"abc")
    wait_for(is_empty(queue), "the events to be delivered")
    first.stop()
    add_events(queue, *"de")
    wait_for(is_empty(queue), "the second to take over")
    second.stop()
    assert receiver.images == list("abcde")
    assert (first.lines[-1], second.lines[-1]) == ("stopped; sent: 3", "stopped; sent: 2")


def test_the_lock_of_a_killed_process_expires(
    queue: redis.Redis, receiver: WebhookReceiver, notify: Callable[..., Notify]
) -> None:
    queue.set(NOTIFY_LOCK, "killed", px=300)
    add_events(queue, "a")
    one = notify()
    wait_for(is_empty(queue), "the event to be delivered")
    assert "another clipqueue notify sends" in one.lines[0]
    lock_ms: Any = queue.pttl(NOTIFY_LOCK)
    assert 15_000 < lock_ms <= 60_000, "longer than an attempt"


def test_it_works_on_a_full_redis(queue: redis.Redis, receiver: WebhookReceiver, notify: Callable[..., Notify]) -> None:
    add_events(queue, "a")
    queue.config_set("maxmemory", 1)
    try:
        notify()
        wait_for(is_empty(queue), "the event to be delivered")
    finally:
        queue.config_set("maxmemory", 0)


def test_it_outlives_an_outage_of_redis_and_says_so_once(
    own: Stack, queue: redis.Redis, receiver: WebhookReceiver, notify: Callable[..., Notify]
) -> None:
    one = notify()
    wait_for(lambda: one.lines, "the first line")
    queue.config_set("requirepass", "changed")
    try:
        queue.client_kill_filter(_type="normal", skipme=True)
        wait_for(lambda: "waiting until it answers" in one.log, "the outage to be noticed")
        time.sleep(3 * QUICK.redis_s)  # more attempts, which must not be said
    finally:
        queue.config_set("requirepass", "")
    add_events(queue, "a")
    wait_for(is_empty(queue), "the event to be delivered")
    one.stop()
    assert one.log.count("waiting until it answers") == 1
    assert receiver.images == ["a"]


def test_a_delivered_event_is_not_sent_again_after_an_outage(
    queue: redis.Redis, receiver: WebhookReceiver, notify: Callable[..., Notify]
) -> None:
    """Redis goes away after the receiver has the event, and before it is removed."""

    def cut_off(_: object) -> Answer:
        queue.config_set("requirepass", "changed")
        queue.client_kill_filter(_type="normal", skipme=True)
        return GENERAL

    receiver.answer = cut_off
    add_events(queue, "a")
    one = notify()
    wait_for(lambda: "waiting until it answers" in one.log, "the outage to be noticed")
    receiver.answer = lambda _: GENERAL
    queue.config_set("requirepass", "")
    wait_for(is_empty(queue), "the event to be removed")
    assert receiver.images == ["a"]


def test_a_redis_that_is_away_at_the_start_is_waited_for(receiver: WebhookReceiver) -> None:
    one = Notify(f"redis://127.0.0.1:{reserve()}/0", receiver.hook)
    wait_for(lambda: "waiting until it answers" in one.log, "the outage to be noticed")
    one.stop()
    assert one.error is None


def test_a_timeout_in_the_url_of_redis_is_longer_than_its_waits(redis_url: str, queue: redis.Redis) -> None:
    with closing(Broker(redis_url + "?socket_timeout=1")) as broker:
        EventStream(broker, 600.0).wait()
