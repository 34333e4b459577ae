"""A thread that notices when the event loop is blocked, names the plugin on it, and in the end gives up the process.

A plugin that blocks (``time.sleep``, a busy loop, a library that waits) holds up every chat, and nothing inside the
loop can say so. The process is ended with ``HUNG``; nothing is lost, since what was accepted is on disk.
"""

from __future__ import annotations

import faulthandler
import functools
import logging
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from logging import getLogger
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import anyio

from nanokimi_core.instances import Instance

HUNG = 70  # the exit code of a process that gave itself up; EX_SOFTWARE of sysexits.h
WARN_AFTER = 2.0
TICK = 0.5
_LAST_WORDS = 5.0
_SURE = 3
_REMEDY = (
    "mend or update it, so that it awaits what takes time, or does it in a thread: "
    "await anyio.to_thread.run_sync(…); or take it out of nanokimi.toml"
)

log = getLogger("nanokimi")


@dataclass
class Watchdog:
    """Watches the event loop that it is entered in.

    Enter it around everything else that runs, and in a task that doesn't block by itself. Time in which the whole
    process could not run (stopped, asleep with its machine, starved) doesn't count.

    A plugin in a C function that never lets another thread run can't be seen by a thread. For that, where the platform
    has interval timers, ``SIGPROF`` comes after ``hang_limit`` seconds of the process's own computing time without a
    tick of the thread: the stacks of all threads are written to stderr, and the process ends by that signal.

    Attributes:
        instances: Whom to suspect; looked at when the loop is blocked.
        hang_limit: Seconds of silence after which the process ends.
        warn_after: Seconds of silence after which the culprit is named.
        last_words: Called before the process ends; it may block for five seconds.
        tick: Seconds between looks.
        give_up: Ends the process.
    """

    instances: Iterable[Instance]
    hang_limit: float
    warn_after: float = WARN_AFTER
    last_words: Callable[[], None] | None = None
    tick: float = TICK
    give_up: Callable[[int], Any] = os._exit
    _beats: int = 0
    _loop: int = 0
    _stop_by: float = math.inf
    _over: threading.Event = field(default_factory=threading.Event)
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def __aenter__(self) -> Watchdog:
        self._loop = threading.get_ident()
        tasks = await self._stack.enter_async_context(anyio.create_task_group())
        beating = anyio.CancelScope(shield=True)  # what is being cancelled may take its time, and is watched too
        tasks.start_soon(self._beat, beating, name="watchdog")
        self._stack.callback(beating.cancel)
        self._stack.enter_context(_Backstop(self.hang_limit))
        self._stack.callback(self._over.set)
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()
        return self

    async def __aexit__(self, *error: Any) -> bool | None:
        return await self._stack.__aexit__(*error)

    def stop_within(self, seconds: float) -> None:
        """End the process if it is still there after ``seconds``, naming the plugins whose tasks never end.

        For the end of a stop: a plugin that swallows every cancellation would hold it up for ever.
        """
        self._stop_by = min(self._stop_by, seconds)

    async def _beat(self, beating: anyio.CancelScope) -> None:
        with beating:
            while True:
                self._beats += 1
                await anyio.sleep(self.tick)

    def _watch(self) -> None:
        clock = _Clock()
        heard, silent, named = -1, 0.0, False
        while not self._over.wait(self.tick):
            passed = clock.passed(at_most=2 * self.tick)
            _Backstop.arm(self.hang_limit)
            self._stop_by -= passed
            if self._stop_by <= 0:
                return self._end(f"the stop took too long: {self._lingering()}")
            if heard != self._beats:
                if named:
                    log.warning("the event loop goes on after about %.0f s", silent + passed)
                heard, silent, named = self._beats, 0.0, False
                continue
            silent += passed
            if silent >= self.warn_after and not named:
                named = True
                _say(logging.ERROR, f"nothing has been served for {silent:.1f} s: {self._culprit()}")
            if silent >= self.hang_limit:
                return self._end(f"nothing has been served for {silent:.1f} s, the hang_limit: {self._culprit()}")

    def _end(self, why: str) -> None:
        _say(logging.CRITICAL, f"{why}; the process ends with {HUNG}, and the next one answers what is owed")
        if self.last_words is not None:
            _bounded(self.last_words)
        _bounded(_flush)
        self.give_up(HUNG)

    def _lingering(self) -> str:
        still = [_who([each]) for each in self.instances if each.alive]
        return f"{' and '.join(still) or 'NanoKimi itself'} did not let itself be cancelled"

    def _culprit(self) -> str:
        frame = sys._current_frames().get(self._loop)
        return culprit(frame, list(self.instances)) if frame is not None else "its thread is gone"


def culprit(innermost: FrameType, instances: Iterable[Instance]) -> str:
    """Say in a sentence who is innermost on a stack: a plugin, with its file and line, or none."""
    suspects = [_Suspect.of(instance) for instance in instances]
    for frame in _outwards(innermost):
        weights = [suspect.weigh(frame.f_code) for suspect in suspects]
        heaviest = max(weights, default=0)
        if heaviest:
            found = [suspect for suspect, weight in zip(suspects, weights, strict=True) if weight == heaviest]
            return _sentence(_narrowed(found, frame), frame, innermost)
    return f"NanoKimi itself or a library is in {_place(innermost)}"


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _narrowed(suspects: list[_Suspect], frame: FrameType) -> list[_Suspect]:
    """Tell suspects that share a file apart by whose class's methods are further out."""
    for outer in _outwards(frame):
        sure = [suspect for suspect in suspects if suspect.weigh(outer.f_code) == _SURE]
        if sure:
            return sure
    return suspects


@dataclass(frozen=True)
class _Suspect:
    """What is known of where an instance's code lies.

    Attributes:
        instance: It.
        name: Of its class, to tell plugins in one file apart.
        files: Of the modules of its class and of what made it.
        folders: Of the packages around those, each ending with a separator.
    """

    instance: Instance
    name: str
    files: frozenset[str]
    folders: tuple[str, ...]

    @classmethod
    def of(cls, instance: Instance) -> _Suspect:
        create = instance.provided.spec.create
        kinds = [create.func if isinstance(create, functools.partial) else create]
        if instance.value is not None:
            kinds.append(type(instance.value))
        names = {str(getattr(kind, "__module__", "")) for kind in kinds}
        modules = [name for name in names if name.partition(".")[0] not in sys.stdlib_module_names]
        tops = {name.partition(".")[0] for name in modules} - {__name__.partition(".")[0]}
        folders = [str(Path(file).parent) + os.sep for file in map(_file, tops) if Path(file).stem == "__init__"]
        files = frozenset(filter(None, map(_file, modules)))
        return cls(instance, getattr(kinds[-1], "__qualname__", ""), files, tuple(folders))

    def weigh(self, code: CodeType) -> int:
        """Say how surely some code is this instance's: 0 is not at all."""
        if code.co_filename in self.files:
            return _SURE if code.co_qualname.startswith(self.name + ".") else _SURE - 1
        return int(code.co_filename.startswith(self.folders))


def _file(module: str) -> str:
    return getattr(sys.modules.get(module), "__file__", None) or ""


def _sentence(suspects: list[_Suspect], frame: FrameType, innermost: FrameType) -> str:
    who = _who([each.instance for each in suspects])
    inner = f", in {_place(innermost)}" if innermost is not frame else ""
    return f"{who} blocks the event loop at {_place(frame)}{inner}; {_REMEDY}"


def _who(instances: list[Instance]) -> str:
    plugins = {each.provided.plugin.name: each.provided.plugin for each in instances}
    names = sorted({each.name for each in instances})
    who = " or ".join(f'plugin "{plugin.name}" ({plugin.origin})' for plugin in plugins.values())
    return who if names == sorted(plugins) else f"{who}, instance {' or '.join(names)},"


def _place(frame: FrameType) -> str:
    return f"{frame.f_code.co_filename}:{frame.f_lineno} ({frame.f_code.co_qualname})"


class _Clock:
    """Tells how much time has passed for this process, other than while it could not run."""

    def __init__(self) -> None:
        self._at, self._computed = time.monotonic(), time.process_time()

    def passed(self, *, at_most: float) -> float:
        """Give the seconds since the last call: up to ``at_most``, or what the process itself has computed for."""
        at, computed = time.monotonic(), time.process_time()
        elapsed, busy = at - self._at, computed - self._computed
        self._at, self._computed = at, computed
        return min(elapsed, max(at_most, busy))


class _Backstop:
    """Ends the process by ``SIGPROF`` when not even a thread can run, unless somebody else uses that signal."""

    _armed = False
    _turn = threading.Lock()

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._mine = False

    def __enter__(self) -> None:
        if self._armed or not hasattr(signal, "setitimer") or signal.getsignal(signal.SIGPROF) != signal.SIG_DFL:
            return
        with suppress(OSError, ValueError, AttributeError, RuntimeError):  # stderr is no file: then without
            faulthandler.register(signal.SIGPROF, all_threads=True, chain=True)
            self._mine = _Backstop._armed = True
            self.arm(self._limit)

    def __exit__(self, *error: object) -> None:
        if self._mine:
            with self._turn:
                _Backstop._armed = False
                signal.setitimer(signal.ITIMER_PROF, 0)
                faulthandler.unregister(signal.SIGPROF)

    @classmethod
    def arm(cls, limit: float) -> None:
        """Start the time anew."""
        with cls._turn:
            if cls._armed:
                signal.setitimer(signal.ITIMER_PROF, limit)


def _say(level: int, text: str) -> None:
    """Log from a thread of its own: the blocked one may hold a lock of the log's, or its stream may be stuck."""
    _bounded(lambda: log.log(level, "%s", text))


def _flush() -> None:
    for handler in logging.getLogger().handlers:
        handler.flush()


def _bounded(call: Callable[[], Any]) -> None:
    thread = threading.Thread(target=call, name="watchdog's last words", daemon=True)
    thread.start()
    thread.join(_LAST_WORDS)
