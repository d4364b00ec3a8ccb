"""Of two jobs that one process enqueues for one image, the later one has the later time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from bson import ObjectId

from producer.contract.clock import EnqueueClock
from producer.contract.job import ImageJob, now_ms


class SystemClock:
    """A clock that the test sets."""

    def __init__(self, ms: int = 1_700_000_000_000) -> None:
        self.ms = ms

    def __call__(self) -> int:
        return self.ms


def test_times_of_one_image_increase_within_a_millisecond() -> None:
    clock = EnqueueClock(SystemClock(5000))
    assert [clock.next_ms("a"), clock.next_ms("b"), clock.next_ms("a"), clock.next_ms("a")] == [5000, 5000, 5001, 5002]


def test_times_increase_while_the_clock_is_set_back_a_little() -> None:
    """Also for an image that was enqueued before that, and whose time was forgotten."""
    system = SystemClock()
    clock = EnqueueClock(system)
    first = clock.next_ms("a")
    system.ms += 3
    before = clock.next_ms("b")
    for step_back in (5_000, 9_000, 0):
        system.ms = before - step_back
        assert before <= clock.next_ms("new"), "not before the latest time of the process"
        later = clock.next_ms("a")
        assert later > first
        first = later
    system.ms = before + 100
    assert clock.next_ms("a") == before + 100


def test_a_clock_that_was_far_ahead_is_forgotten() -> None:
    system = SystemClock()
    clock = EnqueueClock(system)
    clock.next_ms("a")
    system.ms -= 3_600_000
    assert clock.next_ms("a") == system.ms


def test_a_fast_process_does_not_run_ahead_of_its_clock() -> None:
    """Ten images a millisecond, for a second; the times of the past are forgotten."""
    system = SystemClock()
    clock = EnqueueClock(system)
    for number in range(10_000):
        system.ms += number % 10 == 0
        assert clock.next_ms(f"image-{number}") == system.ms
    assert len(clock._times) == 10


def test_threads_and_both_forms_of_an_object_id_share_the_clock() -> None:
    oid = ObjectId()
    forms = [oid, {"$oid": str(oid)}, {"$oid": str(oid).upper()}]
    before = now_ms()
    with ThreadPoolExecutor(8) as pool:
        times = list(pool.map(lambda n: ImageJob.new(forms[n % 3], "http://host/").enqueued_at_ms, range(300)))
    assert len(set(times)) == 300
    assert min(times) >= before
