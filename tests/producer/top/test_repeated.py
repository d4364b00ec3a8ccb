"""A pause that begins while the thread waits for its next turn."""

from __future__ import annotations

import threading

from producer.top.repeated import Repeated


def test_a_pause_during_the_wait_prevents_the_next_call_until_it_is_woken() -> None:
    calls: list[int] = []
    again = threading.Event()
    crashes: list[Exception] = []

    def act() -> None:
        calls.append(1)
        if len(calls) > 1:
            again.set()

    def pause_s() -> float:
        thread.is_paused = True  # as a key does just after the wait has begun
        return 0.01

    thread = Repeated("turns", act, pause_s, crashes.append)
    thread.start()
    try:
        assert not again.wait(0.2)
        thread.wake()
        assert again.wait(10)
    finally:
        thread.close()
    assert not crashes
