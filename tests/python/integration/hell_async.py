"""Harm that only a coroutine can do, to itself and to the loop that it shares."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, Final

_LEFT: Final[set[asyncio.Task[None]]] = set()


async def cancels_itself() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(60)


async def runs_another_loop() -> None:
    coroutine = asyncio.sleep(0)
    try:
        asyncio.run(coroutine)
    finally:
        coroutine.close()


async def waits_for_a_task_that_exits() -> None:
    await asyncio.gather(_exit())


async def never_ends() -> None:
    await asyncio.Event().wait()


async def waits_for_its_own_lock() -> None:
    lock = asyncio.Lock()
    async with lock, lock:
        pass


async def swallows_its_cancellation() -> str:
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(60)
    return "done"


async def stops_the_loop() -> None:
    asyncio.get_running_loop().stop()


async def leaves_a_task() -> None:
    _LEFT.add(asyncio.create_task(_fail_later()))


async def cancels_itself_and_returns() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()


async def raises_in_the_loop() -> None:
    asyncio.get_running_loop().call_soon(_raise)


Harmful = Callable[[], Coroutine[Any, Any, Any]]
FAIL: Final[tuple[Harmful, ...]] = (
    cancels_itself, runs_another_loop, waits_for_a_task_that_exits,
)  # fmt: skip
HANG: Final[tuple[Harmful, ...]] = (
    never_ends, waits_for_its_own_lock, swallows_its_cancellation,
)  # fmt: skip
LIVE: Final[tuple[Harmful, ...]] = (
    stops_the_loop, leaves_a_task, cancels_itself_and_returns, raises_in_the_loop,
)  # fmt: skip


async def _exit() -> None:
    raise SystemExit(1)


async def _fail_later() -> None:
    await asyncio.sleep(0.01)
    raise ValueError("in a task of its own")


def _raise() -> None:
    raise ValueError("in a callback")
