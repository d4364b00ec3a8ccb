"""Messages are taken and told of together, no more of them than have room, and none is lost where Redis refuses."""

from __future__ import annotations

from queue import Empty
from typing import TYPE_CHECKING, Any

import kombu
import pytest
import redis as redis_client

from tests.support.messages import hand_made_message
from worker.broker import transport
from worker.broker.deliveries import Deliveries
from worker.broker.processing_list import ProcessingList

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis

    from producer.local.stack import Stack

ROOM = 8
untyped: Any = kombu


@pytest.fixture(autouse=True)
def process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker process that has taken nothing yet."""
    monkeypatch.setattr(transport.Channel, "holdings", Deliveries())
    monkeypatch.setattr(transport.Channel, "taker", ProcessingList())
    transport.install()


@pytest.fixture
def connection(redis_url: str, queue: redis.Redis) -> Iterator[Any]:
    with untyped.Connection(redis_url, transport_options={"max_countdown_s": 1.0}) as connection:
        yield connection


@pytest.fixture
def taken(connection: Any) -> Iterator[list[Any]]:
    """What a consumer with room for `ROOM` messages has been given."""
    messages: list[Any] = []
    consumer = untyped.Consumer(
        connection.channel(),
        [untyped.Queue("images")],
        callbacks=[lambda _, message: messages.append(message)],
        accept=["json"],
    )
    consumer.qos(prefetch_count=ROOM)
    with consumer:
        yield messages


def enqueue(queue: redis.Redis, count: int) -> None:
    for number in range(count):
        queue.lpush("images", hand_made_message({"image_id": f"image-{number}", "url": "http://a.example/"}))


def ids(messages: list[Any]) -> list[str]:
    return [message.payload[1]["image_id"] for message in messages]


def commands(queue: redis.Redis) -> int:
    stats: Any = queue.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("blmove", "exec"))


def test_all_that_has_room_is_taken_in_order_and_nothing_more(
    connection: Any, taken: list[Any], queue: redis.Redis
) -> None:
    enqueue(queue, 20)
    connection.drain_events(timeout=5)
    assert ids(taken) == [f"image-{number}" for number in range(ROOM)]
    assert (queue.llen("images"), queue.hlen("unacked"), queue.zcard("unacked_index")) == (12, ROOM, ROOM)
    assert not queue.exists(transport.Channel.taker.key)
    with pytest.raises(TimeoutError):
        connection.drain_events(timeout=0.2)
    assert len(taken) == ROOM


def test_many_messages_cost_few_round_trips(connection: Any, taken: list[Any], queue: redis.Redis) -> None:
    enqueue(queue, ROOM)
    before = commands(queue)
    connection.drain_events(timeout=5)
    assert len(taken) == ROOM
    assert commands(queue) - before == 3  # the first is taken and noted, then all others are noted


def test_what_is_no_message_among_many_is_parked_and_the_others_are_taken(
    connection: Any, taken: list[Any], queue: redis.Redis
) -> None:
    enqueue(queue, 2)
    queue.lpush("images", "no message", "")
    enqueue(queue, 2)
    connection.drain_events(timeout=5)
    assert ids(taken) == ["image-0", "image-1", "image-0", "image-1"]
    assert queue.llen("clipqueue:parked") == 2
    assert not queue.exists(transport.Channel.taker.key)


def test_a_message_twice_to_the_letter_is_two_messages(connection: Any, taken: list[Any], queue: redis.Redis) -> None:
    queue.lpush("images", *[hand_made_message({"image_id": "twin", "url": "http://a.example/"})] * 3)
    connection.drain_events(timeout=5)
    assert ids(taken) == ["twin"] * 3
    assert queue.hlen("unacked") == 3


def test_where_redis_refuses_to_note_them_none_is_lost(own: Stack, own_broker: redis.Redis) -> None:
    """It fills up just when they are taken."""
    taker = transport.Channel.taker
    enqueue(own_broker, ROOM)
    items: Any = [own_broker.lmove("images", taker.key, "RIGHT", "LEFT") for _ in range(ROOM)]
    own_broker.config_set("maxmemory", 1)
    try:
        with untyped.Connection(own.redis_url) as connection, pytest.raises(Empty):
            connection.channel().admit(items)
    finally:
        own_broker.config_set("maxmemory", 0)
    assert (own_broker.llen(taker.key), own_broker.hlen("unacked")) == (ROOM, 0)
    assert not transport.Channel.holdings.tags
    taker.sign_in(own_broker)
    assert own_broker.llen("images") == ROOM


def test_redis_is_told_of_all_jobs_that_have_ended_together(
    connection: Any, taken: list[Any], queue: redis.Redis
) -> None:
    enqueue(queue, ROOM)
    connection.drain_events(timeout=5)
    before = commands(queue)
    for message in taken[:6]:
        message.ack()
    assert queue.hlen("unacked") == ROOM
    for _ in range(2):
        connection.transport._settle()
    assert commands(queue) - before == 1
    assert set(queue.hkeys("unacked")) == {message.delivery_tag.encode() for message in taken[6:]}
    assert queue.zcard("unacked_index") == 2


def test_what_redis_was_not_told_makes_room_and_is_told_by_the_watch(
    connection: Any, taken: list[Any], queue: redis.Redis
) -> None:
    enqueue(queue, 2 * ROOM)
    connection.drain_events(timeout=5)
    for message in list(taken):
        message.ack()
    connection.drain_events(timeout=5)
    assert len(taken) == 2 * ROOM
    transport.Channel.holdings.settle(queue)
    assert queue.hlen("unacked") == ROOM


def test_what_could_not_be_delivered_goes_back_and_the_rest_is_held(
    connection: Any, taken: list[Any], queue: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when no thread can be started."""
    real = connection.transport._deliver
    deliveries = iter(range(ROOM))

    def deliver(*args: Any) -> None:
        if next(deliveries) == 3:
            raise RuntimeError("can't start new thread")
        real(*args)

    monkeypatch.setattr(connection.transport, "_deliver", deliver)
    enqueue(queue, ROOM)
    with pytest.raises(RuntimeError):
        connection.drain_events(timeout=5)
    transport.Channel.holdings.settle(queue)
    assert len(taken) == 3
    assert queue.llen("images") == ROOM - 4
    assert set(transport.Channel.holdings.tags) >= {message.delivery_tag for message in taken}


def test_messages_that_may_be_noted_though_redis_went_away_go_back(
    connection: Any, queue: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer to the transaction was lost."""
    enqueue(queue, 1)
    channel = connection.channel()
    item: Any = queue.lmove("images", channel.taker.key, "RIGHT", "LEFT")
    real = redis_client.client.Pipeline.execute

    def execute(pipe: Any) -> Any:
        real(pipe)
        raise redis_client.ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(redis_client.client.Pipeline, "execute", execute)
        with pytest.raises(redis_client.ConnectionError):
            channel.admit([item])
    assert queue.hlen("unacked") == 1
    channel.settle()
    assert (queue.llen("images"), queue.hlen("unacked")) == (1, 0)


def test_a_message_got_by_kombus_own_way_is_noted_too(connection: Any, queue: redis.Redis) -> None:
    """As by `celery amqp basic.get`."""
    enqueue(queue, 1)
    channel = connection.channel()
    message = channel.basic_get("images")
    assert queue.hkeys("unacked") == [message.delivery_tag.encode()]
    channel.basic_reject(message.delivery_tag, requeue=True)
    assert queue.llen("images") == 1


def test_a_channel_that_closes_tells_what_has_ended(connection: Any, taken: list[Any], queue: redis.Redis) -> None:
    enqueue(queue, 2)
    connection.drain_events(timeout=5)
    taken[0].ack()
    taken[0].channel.close()
    assert queue.hlen("unacked") == 0
    assert queue.llen("images") == 1
