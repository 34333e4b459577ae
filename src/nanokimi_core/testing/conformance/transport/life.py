"""What the contract wants of a transport's life: it can be ended anywhere, begun again, and have others beside it."""

from __future__ import annotations

import stat
import threading
from contextlib import suppress
from pathlib import Path

import anyio
from anyio.lowlevel import checkpoint

from nanokimi_core.testing.conformance.checks import check, expect, until
from nanokimi_core.testing.conformance.lookout import LONGEST, lookout
from nanokimi_core.testing.conformance.rigs import TransportRig
from nanokimi_core.testing.conformance.transport.driven import Driven, connected, driven

_POINTS = (0, 1, 2, 3, 5, 8, 13, 21)
_PARTS = (0.2, 0.4, 0.6, 0.8)
_POOLS = ("AnyIO worker thread", "Trio thread", "asyncio_")  # an event loop's own, which it keeps for a while
_DESCRIPTORS = Path("/proc/self/fd")


async def _works(it: Driven) -> None:
    """Look whether a message comes, once, and an answer goes."""
    await it.connect()
    await it.hear("are you there?")
    await it.send("yes")
    await it.seen("yes")


@check("transport")
async def ends_while_it_connects(rig: TransportRig) -> None:
    """A run that is cancelled while it connects ends at once, at whatever point, and the next one works."""
    async with driven(rig) as it:
        for points in _POINTS:
            it.start()
            for _ in range(points):
                await checkpoint()
            await it.stop()
        began = anyio.current_time()
        await it.connect()
        took = anyio.current_time() - began
        await it.stop()
        for part in _PARTS:
            it.start()
            await anyio.sleep(took * part)
            await it.stop()
        await _works(it)


@check("transport")
async def ends_while_nothing_happens(rig: TransportRig) -> None:
    """A run that is cancelled while nothing happens ends at once, and the next one works."""
    async with driven(rig) as it:
        for _ in range(2):
            await it.connect()
            await it.stop()
        await _works(it)


@check("transport")
async def ends_while_it_delivers(rig: TransportRig) -> None:
    """A run that is cancelled while deliver hasn't returned ends at once, and the next one works."""
    async with driven(rig) as it:
        await it.connect()
        it.record.held = anyio.Event()
        await rig.write("held")
        await it.until(lambda: it.record.begun, "the message was not delivered")
        await it.stop()
        expect(not it.record.kept, "deliver had not returned, and run went on as though it had")
        it.record.held = None
        await _works(it)


@check("transport")
async def ends_while_it_sends(rig: TransportRig) -> None:
    """A run that is cancelled while something is being sent ends at once, and the next one works."""
    async with driven(rig) as it:
        for points in _POINTS:
            await it.connect()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_try_to_send, it)
                for _ in range(points):
                    await checkpoint()
                await it.stop()
                tasks.cancel_scope.cancel()
        await it.connect()
        await it.hear("are you there?")
        await it.send("yes")


async def _try_to_send(it: Driven) -> None:
    with suppress(Exception):  # it may raise here
        await it.send("perhaps")


@check("transport")
async def lets_others_work(rig: TransportRig) -> None:
    """While it connects, delivers, sends and ends, nothing blocks the event loop: a client that waits has a thread."""
    async with lookout() as watched, connected(rig) as it:
        await it.hear("good morning")
        with suppress(Exception):  # whether it works has checks of its own
            await it.send("good morning")
        await it.stop()
    expect(not watched.blocked, f"the event loop was blocked for more than {LONGEST:g} s at {watched.blocked}")


@check("transport")
async def leaves_nothing_behind(rig: TransportRig) -> None:
    """When run is over and the object is left, no task, no thread and no socket of theirs is there any more."""
    async with connected(rig, "first") as it:  # what is made once, for the whole process, is made here
        await it.hear("good morning")
    tasks, threads, sockets = _tasks(), _threads(), _sockets()
    async with driven(rig) as it:
        for number in range(3):
            await it.connect()
            await it.hear(f"good day {number}")
            await it.send(f"good night {number}")
            await it.stop()
    more: list[str] = []

    def gone() -> bool:
        more[:] = [f"the task {name}" for number, name in _tasks().items() if number not in tasks]
        more.extend(f'the thread "{thread.name}"' for thread in _threads() - threads)
        more.extend([f"{_sockets() - sockets} sockets"] * (_sockets() > sockets))
        return not more

    await until(gone, rig.patience / 3, lambda: f"after three runs there still were: {', '.join(more)}")


def _tasks() -> dict[int, str]:
    return {task.id: str(getattr(task.coro, "__qualname__", task.name)) for task in anyio.get_running_tasks()}


def _threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if not thread.name.startswith(_POOLS)}


def _sockets() -> int:
    """Count this process's open sockets, where the machine can tell."""
    if not _DESCRIPTORS.is_dir():
        return 0
    count = 0
    for descriptor in _DESCRIPTORS.iterdir():
        with suppress(OSError):  # the listing's own is closed by now
            count += stat.S_ISSOCK(descriptor.stat().st_mode)
    return count


@check("transport", "beside")
async def keeps_nothing_in_globals(rig: TransportRig) -> None:
    """Two instances in one process don't get, show or end what belongs to the other."""
    async with rig.beside() as other, connected(rig, "one") as one, connected(other, "two") as two:
        await one.hear("for one")
        await two.hear("for two")
        await one.hear("for one again")
        await one.send("from one")
        await two.send("from two")
        await one.seen("from one")
        await two.seen("from two")
        expect("for two" not in one.record.texts(), "what was written to one instance was delivered by the other")
        heard = two.record.texts()
        expect(heard == ["for two"], f'"for two" was written to the second instance, and it delivered {heard}')
        await two.stop()
        await one.hear("still there?")
        await one.send("yes")
        await one.seen("from one", "yes")


LIFE_CHECKS = (
    lets_others_work,
    ends_while_it_connects,
    ends_while_nothing_happens,
    ends_while_it_delivers,
    ends_while_it_sends,
    leaves_nothing_behind,
    keeps_nothing_in_globals,
)
