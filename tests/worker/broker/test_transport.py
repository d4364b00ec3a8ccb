"""The transport pops, records and acks messages in batches, within its limits, and loses none when Redis refuses."""

from __future__ import annotations

from queue import Empty
from typing import TYPE_CHECKING, Any

import kombu
import pytest
import redis as redis_client

from tests.support.messages import hand_made_message
from worker.broker import transport
from worker.broker.deliveries import ConsumerState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import redis

    from producer.local.stack import Stack

SLOTS = 8
untyped: Any = kombu


@pytest.fixture
def consumption() -> ConsumerState:
    """The state of a worker process that has consumed nothing yet."""
    return ConsumerState()


@pytest.fixture
def connect(consumption: ConsumerState) -> Callable[[str], Any]:
    transport.install()
    return lambda url: untyped.Connection(url, transport_options={"max_countdown_s": 1.0, "consumption": consumption})


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
    return sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("blmove", "exec"))


def test_it_delivers_as_many_messages_as_there_are_free_slots_in_order(
    connection: Any, delivered: list[Any], queue: redis.Redis, consumption: ConsumerState
) -> None:
    enqueue(queue, 20)
    connection.drain_events(timeout=5)
    assert ids(delivered) == [f"image-{number}" for number in range(SLOTS)]
    assert (queue.llen("images"), queue.hlen("unacked"), queue.zcard("unacked_index")) == (12, SLOTS, SLOTS)
    assert not queue.exists(consumption.processing.key)
    with pytest.raises(TimeoutError):
        connection.drain_events(timeout=0.2)
    assert len(delivered) == SLOTS


def test_many_messages_cost_few_round_trips(connection: Any, delivered: list[Any], queue: redis.Redis) -> None:
    enqueue(queue, SLOTS)
    before = count_commands(queue)
    connection.drain_events(timeout=5)
    assert len(delivered) == SLOTS
    assert count_commands(queue) - before == 3  # pop the first, record it, record all others


def test_invalid_messages_are_parked_and_valid_ones_among_them_delivered(
    connection: Any, delivered: list[Any], queue: redis.Redis, consumption: ConsumerState
) -> None:
    enqueue(queue, 2)
    queue.lpush("images", "no message", "")
    enqueue(queue, 2)
    connection.drain_events(timeout=5)
    assert ids(delivered) == ["image-0", "image-1", "image-0", "image-1"]
    assert queue.llen("clipqueue:parked") == 2
    assert not queue.exists(consumption.processing.key)


def test_identical_messages_are_delivered_separately(connection: Any, delivered: list[Any], queue: redis.Redis) -> None:
    queue.lpush("images", *[hand_made_message({"image_id": "twin", "url": "http://a.example/"})] * 3)
    connection.drain_events(timeout=5)
    assert ids(delivered) == ["twin"] * 3
    assert queue.hlen("unacked") == 3


def test_nothing_is_consumed_while_consumption_is_paused(redis_url: str, queue: redis.Redis) -> None:
    transport.install()
    enqueue(queue, 1)
    options = {"consumption": ConsumerState(is_paused=lambda: True)}
    with untyped.Connection(redis_url, transport_options=options) as connection:
        assert not connection.channel().qos.can_consume()


def test_a_full_redis_that_refuses_to_record_messages_loses_none(
    own: Stack, own_broker: redis.Redis, connect: Callable[[str], Any], consumption: ConsumerState
) -> None:
    """It fills up just after they are popped."""
    key = consumption.processing.key
    enqueue(own_broker, SLOTS)
    items: Any = [own_broker.lmove("images", key, "RIGHT", "LEFT") for _ in range(SLOTS)]
    own_broker.config_set("maxmemory", 1)
    try:
        with connect(own.redis_url) as connection, pytest.raises(Empty):
            connection.channel().accept(items)
    finally:
        own_broker.config_set("maxmemory", 0)
    assert (own_broker.llen(key), own_broker.hlen("unacked")) == (SLOTS, 0)
    assert not consumption.deliveries.tags
    consumption.processing.heartbeat_and_reclaim(own_broker)
    assert own_broker.llen("images") == SLOTS


def test_acks_are_sent_together(connection: Any, delivered: list[Any], queue: redis.Redis) -> None:
    enqueue(queue, SLOTS)
    connection.drain_events(timeout=5)
    before = count_commands(queue)
    for message in delivered[:6]:
        message.ack()
    assert queue.hlen("unacked") == SLOTS
    for _ in range(2):
        connection.transport._flush()
    assert count_commands(queue) - before == 1
    assert set(queue.hkeys("unacked")) == {message.delivery_tag.encode() for message in delivered[6:]}
    assert queue.zcard("unacked_index") == 2


def test_a_deferred_ack_frees_its_slot_at_once_and_is_sent_by_the_heartbeat(
    connection: Any, delivered: list[Any], queue: redis.Redis, consumption: ConsumerState
) -> None:
    enqueue(queue, 2 * SLOTS)
    connection.drain_events(timeout=5)
    for message in list(delivered):
        message.ack()
    connection.drain_events(timeout=5)
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
        connection.drain_events(timeout=5)
    consumption.deliveries.flush(queue)
    assert len(delivered) == 3
    assert queue.llen("images") == SLOTS - 4
    assert set(consumption.deliveries.tags) >= {message.delivery_tag for message in delivered}


def test_messages_are_requeued_if_the_reply_to_their_transaction_is_lost(
    connection: Any, queue: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis may have recorded them as unacked."""
    enqueue(queue, 1)
    channel = connection.channel()
    item: Any = queue.lmove("images", channel.consumption.processing.key, "RIGHT", "LEFT")
    real = redis_client.client.Pipeline.execute

    def execute(pipe: Any) -> Any:
        real(pipe)
        raise redis_client.ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(redis_client.client.Pipeline, "execute", execute)
        with pytest.raises(redis_client.ConnectionError):
            channel.accept([item])
    assert queue.hlen("unacked") == 1
    channel.flush()
    assert (queue.llen("images"), queue.hlen("unacked")) == (1, 0)


def test_a_message_from_basic_get_is_recorded_as_unacked(connection: Any, queue: redis.Redis) -> None:
    """`celery amqp basic.get` uses kombu's own way to pop."""
    enqueue(queue, 1)
    channel = connection.channel()
    message = channel.basic_get("images")
    assert queue.hkeys("unacked") == [message.delivery_tag.encode()]
    channel.basic_reject(message.delivery_tag, requeue=True)
    assert queue.llen("images") == 1


def test_a_closing_channel_sends_its_acks(connection: Any, delivered: list[Any], queue: redis.Redis) -> None:
    enqueue(queue, 2)
    connection.drain_events(timeout=5)
    delivered[0].ack()
    delivered[0].channel.close()
    assert queue.hlen("unacked") == 0
    assert queue.llen("images") == 1


def test_two_processes_share_no_state(redis_url: str, queue: redis.Redis) -> None:
    """The state comes with the connection's options; nothing is set on the class."""
    transport.install()
    with untyped.Connection(redis_url) as one, untyped.Connection(redis_url) as other:
        assert one.channel().consumption is not other.channel().consumption
