"""The transport takes and acks messages in batches, within its limits, and loses none when Redis refuses or is lost."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import kombu
import pytest
import redis as redis_client

from producer.operations.parked import read_parked, requeue_parked
from tests.support.messages import hand_made_message
from tests.support.parked import counted_bytes
from tests.support.waiting import wait_for
from worker.broker import scripts, transport
from worker.broker.deliveries import ConsumerState
from worker.broker.validation import MAX_MESSAGE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import redis

    from producer.local.stack import Stack

SLOTS = 8
untyped: Any = kombu


@pytest.fixture
def redis_url(own: Stack) -> str:
    """A Redis that no worker uses, because some tests count its commands."""
    return own.redis_url.removesuffix("0") + "6"


@pytest.fixture
def consumption() -> ConsumerState:
    """The state of a worker process that has consumed nothing yet."""
    return ConsumerState()


@pytest.fixture
def connect(consumption: ConsumerState) -> Callable[[str], Any]:
    transport.install()
    return lambda url: untyped.Connection(url, transport_options={"consumption": consumption})


@pytest.fixture
def connection(redis_url: str, queue: redis.Redis, connect: Callable[[str], Any]) -> Iterator[Any]:
    with connect(redis_url) as connection:
        yield connection


@pytest.fixture
def delivered(connection: Any) -> Iterator[list[Any]]:
    """The messages that were delivered to a consumer with `SLOTS` free slots."""
    messages: list[Any] = []
    consumer = untyped.Consumer(
        connection.channel(),
        [untyped.Queue("images")],
        callbacks=[lambda _, message: messages.append(message)],
        accept=["json"],
    )
    consumer.qos(prefetch_count=SLOTS)
    with consumer:
        yield messages


def enqueue(queue: redis.Redis, count: int) -> None:
    for number in range(count):
        queue.lpush("images", hand_made_message({"image_id": f"image-{number}", "url": "http://a.example/"}))


def ids(messages: list[Any]) -> list[str]:
    return [message.payload[1]["image_id"] for message in messages]


def count_commands(queue: redis.Redis) -> int:
    stats: Any = queue.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("blmove", "evalsha", "exec"))


def drain(connection: Any) -> bool:
    """Run the event loop for a moment: it delivers all that waits. Returns True."""
    with suppress(TimeoutError):
        connection.drain_events(timeout=0.1)
    return True


def test_it_delivers_as_many_messages_as_there_are_free_slots_in_order(
    connection: Any, delivered: list[Any], queue: redis.Redis, consumption: ConsumerState
) -> None:
    enqueue(queue, 20)
    drain(connection)
    assert ids(delivered) == [f"image-{number}" for number in range(SLOTS)]
    assert (queue.llen("images"), queue.hlen("unacked"), queue.zcard("unacked_index")) == (12, SLOTS, SLOTS)
    assert not queue.exists(consumption.processing_key)
    drain(connection)
    assert len(delivered) == SLOTS


def test_many_messages_cost_few_commands(connection: Any, delivered: list[Any], queue: redis.Redis) -> None:
    drain(connection)  # the process signs on, and waits
    enqueue(queue, SLOTS)
    before = count_commands(queue)
    drain(connection)
    assert len(delivered) == SLOTS
    assert count_commands(queue) - before <= 2, "the script that takes them, and one more call to load it"


def test_one_message_costs_two_commands(connection: Any, delivered: list[Any], queue: redis.Redis) -> None:
    """It comes to a worker that waits: the wait, and the script that takes it."""
    drain(connection)
    scripts.take(queue, "elsewhere", [], 0)  # Redis knows the script from now on
    before = count_commands(queue)
    enqueue(queue, 1)
    connection.drain_events(timeout=30)
    assert ids(delivered) == ["image-0"]
    assert count_commands(queue) - before <= 2
    enqueue(queue, 1)
    connection.drain_events(timeout=30)
    assert count_commands(queue) - before <= 4


def test_an_idle_worker_waits_in_redis(connection: Any, delivered: list[Any], queue: redis.Redis) -> None:
    drain(connection)
    before = count_commands(queue)
    for _ in range(5):
        drain(connection)
    assert count_commands(queue) == before


def test_the_event_loop_gets_a_turn_while_messages_keep_coming(
    connection: Any, queue: redis.Redis, consumption: ConsumerState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a slow Redis, one message may come for each that is taken."""
    monkeypatch.setattr(transport, "_TURN_S", 0.05)
    taken: list[Any] = []

    def take_and_enqueue(_: Any, message: Any) -> None:
        message.ack()
        taken.append(message)
        if len(taken) < 2000:
            enqueue(queue, 1)

    consumer = untyped.Consumer(
        connection.channel(), [untyped.Queue("images")], callbacks=[take_and_enqueue], accept=["json"]
    )
    consumer.qos(prefetch_count=SLOTS)
    enqueue(queue, 1)
    with consumer:
        drain(connection)
        assert 0 < len(taken) < 2000
        assert consumption.asking.count > 1


def test_invalid_messages_are_parked_and_valid_ones_among_them_delivered(
    connection: Any, delivered: list[Any], queue: redis.Redis, consumption: ConsumerState
) -> None:
    enqueue(queue, 2)
    queue.lpush("images", "no message", "", "x" * (MAX_MESSAGE_BYTES + 1))
    enqueue(queue, 2)
    drain(connection)
    assert ids(delivered) == ["image-0", "image-1", "image-0", "image-1"]
    entries: Any = queue.lrange("clipqueue:parked", 0, -1)
    sizes = [(entry["bytes"], len(base64.b64decode(entry["item"]))) for entry in map(json.loads, entries)]
    assert sizes == [(MAX_MESSAGE_BYTES + 1, MAX_MESSAGE_BYTES), (0, 0), (10, 10)]
    assert queue.hlen("unacked") == 4 == len(consumption.deliveries.tags)


def test_what_was_parked_can_be_requeued_and_is_then_parked_again_whole(
    connection: Any, delivered: list[Any], queue: redis.Redis
) -> None:
    """After an upgrade, the same message may be valid. The size of the parked messages stays right."""
    item = b'{"url": "http://a.example/?\xff", "filler": "' + b"x" * 100_000
    queue.lpush("images", item)
    drain(connection)
    first = read_parked(queue)
    assert requeue_parked(queue, first) == 1
    enqueue(queue, 1)
    drain(connection)
    assert ids(delivered) == ["image-0"]
    assert [parked.item for parked in read_parked(queue)] == [item]
    assert read_parked(queue)[0].id != first[0].id
    counted, real = counted_bytes(queue)
    assert counted == real > len(item)


def test_a_message_that_cannot_be_parked_does_not_come_back_at_once(
    connection: Any, delivered: list[Any], queue: redis.Redis, consumption: ConsumerState
) -> None:
    queue.set("clipqueue:parked", "not a list")
    queue.lpush("images", "no message")
    enqueue(queue, 1)
    drain(connection)
    connection.transport._flush()
    assert ids(delivered) == ["image-0"]
    assert (queue.llen("images"), queue.hlen("unacked")) == (0, 2), "it is redelivered after the visibility timeout"
    assert len(consumption.deliveries.tags) == 1


def test_identical_messages_are_delivered_separately(connection: Any, delivered: list[Any], queue: redis.Redis) -> None:
    queue.lpush("images", *[hand_made_message({"image_id": "twin", "url": "http://a.example/"})] * 3)
    drain(connection)
    assert ids(delivered) == ["twin"] * 3
    assert queue.hlen("unacked") == 3


def test_nothing_is_consumed_while_consumption_is_paused(redis_url: str, queue: redis.Redis) -> None:
    transport.install()
    enqueue(queue, 1)
    options = {"consumption": ConsumerState(is_paused=lambda: True)}
    with untyped.Connection(redis_url, transport_options=options) as connection:
        assert not connection.channel().qos.can_consume()


def test_a_full_redis_is_drained(
    own: Stack, own_broker: redis.Redis, connect: Callable[[str], Any], consumption: ConsumerState
) -> None:
    """It refuses to wait for a message and to bind the queue, which a starting worker does first."""
    enqueue(own_broker, 3)
    own_broker.config_set("maxmemory", 1)
    delivered: list[Any] = []
    try:
        with connect(own.redis_url) as connection:
            channel = connection.channel()
            consumer = untyped.Consumer(
                channel, [untyped.Queue("images")], callbacks=[lambda _, message: delivered.append(message)]
            )
            with consumer:
                wait_for(lambda: drain(connection) and len(delivered) == 3, "the jobs to be delivered")
                delivered[0].ack()
                delivered[1].reject(requeue=True)
                channel.flush()
                assert (own_broker.llen("images"), own_broker.hlen("unacked")) == (1, 1)
                consumption.deliveries.defer_delay(delivered[2].delivery_tag, b"a retry", 60.0)
                channel.flush()
                assert (own_broker.zcard("clipqueue:delayed"), own_broker.hlen("unacked")) == (1, 0)
    finally:
        own_broker.config_set("maxmemory", 0)


def test_acks_and_requeues_are_sent_together(connection: Any, delivered: list[Any], queue: redis.Redis) -> None:
    enqueue(queue, SLOTS)
    drain(connection)
    for message in delivered[:6]:
        message.ack()
    delivered[6].reject(requeue=True)
    assert queue.hlen("unacked") == SLOTS
    queue.config_resetstat()
    for _ in range(2):
        connection.transport._flush()
    assert count_commands(queue) <= 4, "a script each, and one more call to load it"
    assert queue.hkeys("unacked") == [delivered[7].delivery_tag.encode()]
    assert (queue.zcard("unacked_index"), queue.llen("images")) == (1, 1)


def test_a_deferred_ack_frees_its_slot_at_once_and_is_sent_by_the_heartbeat(
    connection: Any, delivered: list[Any], queue: redis.Redis, consumption: ConsumerState
) -> None:
    enqueue(queue, 2 * SLOTS)
    drain(connection)
    for message in list(delivered):
        message.ack()
    drain(connection)
    assert len(delivered) == 2 * SLOTS
    consumption.deliveries.flush(queue)
    assert queue.hlen("unacked") == SLOTS


def test_messages_that_cannot_be_delivered_are_requeued(
    connection: Any,
    delivered: list[Any],
    queue: redis.Redis,
    consumption: ConsumerState,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A thread that cannot be started stops the delivery in the middle of a batch."""
    real = connection.transport._deliver
    deliveries = iter(range(SLOTS))

    def deliver(*args: Any) -> None:
        if next(deliveries) == 3:
            raise RuntimeError("can't start new thread")
        real(*args)

    monkeypatch.setattr(connection.transport, "_deliver", deliver)
    enqueue(queue, SLOTS)
    with pytest.raises(RuntimeError):
        connection.drain_events(timeout=30)
    consumption.deliveries.flush(queue)
    assert len(delivered) == 3
    assert queue.llen("images") == SLOTS - 3
    assert set(consumption.deliveries.tags) >= {message.delivery_tag for message in delivered}


def test_messages_are_requeued_if_the_reply_to_their_script_is_lost(
    connection: Any, delivered: list[Any], queue: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis may have recorded them as unacked."""
    enqueue(queue, 1)
    real = scripts.take

    def take(*args: Any) -> Any:
        real(*args)
        raise redis_client.ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(scripts, "take", take)
        with pytest.raises(redis_client.ConnectionError):
            connection.drain_events(timeout=30)
    assert queue.hlen("unacked") == 1
    connection.transport._flush()
    assert (queue.llen("images"), queue.hlen("unacked"), delivered) == (1, 0, [])


def test_a_message_is_not_lost_if_the_reply_to_the_wait_is(
    connect: Callable[[str], Any], redis_url: str, queue: redis.Redis
) -> None:
    """Redis has handed it to this process; the next connection of the process takes it."""
    messages: list[Any] = []
    for _ in range(2):
        with connect(redis_url) as connection:
            consumer = untyped.Consumer(
                connection.channel(), [untyped.Queue("images")], callbacks=[lambda _, message: messages.append(message)]
            )
            with consumer:
                drain(connection)
                if not messages:
                    enqueue(queue, 1)
                    wait_for(lambda: not queue.llen("images"), "Redis to hand the message over")
    assert ids(messages) == ["image-0"]


def test_a_process_is_known_before_redis_hands_it_a_message(
    connection: Any, delivered: list[Any], queue: redis.Redis, consumption: ConsumerState
) -> None:
    """Otherwise nobody would look for its messages if it were killed at once."""
    drain(connection)
    assert queue.zscore("clipqueue:takers", consumption.process)


def test_a_message_is_taken_although_the_connection_that_waited_for_it_was_lost(
    connection: Any, delivered: list[Any], queue: redis.Redis, consumption: ConsumerState
) -> None:
    """The network forgot the connection; kombu drops it after some seconds, without an error."""
    drain(connection)
    delivered_to = connection.channel().consumption
    channel = next(channel for channel in connection.transport.channels if channel.active_queues)
    channel.client.connection.disconnect()
    queue.lpush(delivered_to.processing_key, hand_made_message({"image_id": "one", "url": "http://a.example/"}))
    drain(connection)
    assert ids(delivered) == ["one"]


def test_the_event_loop_goes_on_while_many_messages_are_invalid(
    connection: Any, delivered: list[Any], queue: redis.Redis
) -> None:
    queue.lpush("images", *["no message"] * 100)
    connection.transport.cycle.on_poll_start()
    assert 0 < queue.llen("clipqueue:parked") < 100
    wait_for(lambda: drain(connection) and queue.llen("clipqueue:parked") == 100, "all to be parked")


def test_a_message_from_basic_get_is_recorded_as_unacked(connection: Any, queue: redis.Redis) -> None:
    """`celery amqp basic.get` uses kombu's own way to pop."""
    enqueue(queue, 1)
    channel = connection.channel()
    message = channel.basic_get("images")
    assert queue.hkeys("unacked") == [message.delivery_tag.encode()]
    channel.basic_reject(message.delivery_tag, requeue=True)
    channel.flush()
    assert queue.llen("images") == 1


def test_a_closing_channel_sends_its_acks_and_requeues_the_rest(
    connection: Any, delivered: list[Any], queue: redis.Redis
) -> None:
    enqueue(queue, 2)
    drain(connection)
    delivered[0].ack()
    delivered[0].channel.close()
    assert queue.hlen("unacked") == 0
    assert queue.llen("images") == 1


def test_a_closing_channel_keeps_the_messages_of_jobs_that_run(
    connection: Any, delivered: list[Any], queue: redis.Redis, consumption: ConsumerState
) -> None:
    """After a reconnect, they are acked through another channel."""
    enqueue(queue, 2)
    drain(connection)
    with consumption.deliveries.running(delivered[0].delivery_tag):
        delivered[0].channel.close()
    assert (queue.llen("images"), queue.hkeys("unacked")) == (1, [delivered[0].delivery_tag.encode()])
    delivered[0].ack()
    connection.channel().flush()
    assert queue.hlen("unacked") == 0


def test_a_server_that_is_no_longer_the_primary_is_left(
    own: Stack, own_broker: redis.Redis, connect: Callable[[str], Any]
) -> None:
    """It keeps its connections open, and answers READONLY to each write."""
    with connect(own.redis_url) as connection:
        channel = connection.channel()
        channel.flush()
        own_broker.replicaof("127.0.0.1", "1")
        try:
            channel.consumption.deliveries.defer_ack("tag")
            for fail in (channel.flush, channel.redeliver):
                with pytest.raises(connection.connection_errors, match="not the primary"):
                    fail()
        finally:
            own_broker.replicaof("NO", "ONE")
        channel.flush()


def test_two_processes_share_no_state(redis_url: str, queue: redis.Redis) -> None:
    """The state comes with the connection's options; nothing is set on the class."""
    transport.install()
    with untyped.Connection(redis_url) as one, untyped.Connection(redis_url) as other:
        assert one.channel().consumption is not other.channel().consumption
