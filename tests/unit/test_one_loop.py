"""Work of programs that have no event loop, or one that runs."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading

import pytest

from fedcredit.errors import PeerLost
from fedcredit.ids import PartyId
from fedcredit.runtime import one_loop


async def my_loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def test_all_work_of_a_process_is_done_on_one_loop() -> None:
    loop = one_loop.run(my_loop())
    found: list[asyncio.AbstractEventLoop] = []
    threads = [threading.Thread(target=lambda: found.append(one_loop.run(my_loop()))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [loop] * 4
    assert not loop.is_closed()


@pytest.mark.anyio
async def test_it_may_be_called_where_a_loop_runs() -> None:
    assert one_loop.run(my_loop()) is not asyncio.get_running_loop()


def test_what_the_work_raises_is_raised() -> None:
    async def work() -> None:
        raise PeerLost(PartyId("tax"), "Watch", "stopped reporting")

    with pytest.raises(PeerLost):
        one_loop.run(work())


def test_an_interrupt_ends_the_work_first() -> None:
    ended, caller = threading.Event(), threading.get_ident()

    async def work() -> None:
        try:
            while sys._current_frames()[caller].f_code.co_name != "wait":  # noqa: ASYNC110 - until the caller waits
                await asyncio.sleep(0.01)
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.Event().wait()
        finally:
            ended.set()

    # Whoever runs the tests in the background has had interrupts ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            one_loop.run(work())
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended.is_set()
