"""The child process as those see it who start it: the transport, and the terminal's commands."""

from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self, TypeVar

import anyio
from anyio.abc import Process, TaskGroup
from anyio.streams.buffered import BufferedByteReceiveStream
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from nanokimi_core import private_folder
from nanokimi_transport_whatsapp.places import Places
from nanokimi_transport_whatsapp.settings import Settings
from nanokimi_transport_whatsapp.values import Answer, FromChild, Members, Pair, Send, Start, Unlink, Value
from nanokimi_transport_whatsapp.wire import LONGEST_LINE, NotOurs, from_child, line

COMMAND = (sys.executable, "-m", "nanokimi_transport_whatsapp.child")
"""What the child is started with."""

MOST_LOG = 2**20
"""Bytes of the child's log, after which it is begun anew."""

_PASSED = re.compile(
    r"PATH|HOME|LANG|LC_\w+|TZ|TMPDIR|LD_LIBRARY_PATH|SSL_CERT_FILE|SSL_CERT_DIR|MAGIC"
    r"|PYTHONPATH|PYTHONUNBUFFERED|PYTHONHASHSEED|PYTHONDONTWRITEBYTECODE|COVERAGE_\w+|COV_\w+"
    r"|(?i:https?_proxy|no_proxy)"
)
_WRITE_SECONDS = 10.0
_CLOSE_SECONDS = 0.2
_KILL_SECONDS = 0.3
_ENDING = ((None, 3.2), (signal.SIGTERM, 0.8), (signal.SIGKILL, _KILL_SECONDS))
_MOST_UNREAD = 1000
_LAST_WORDS = 2000  # bytes
_GONE = (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError)

Request = TypeVar("Request", Send, Members, Pair, Unlink)


def passed_on(outer: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Give what a program needs of this process's environment. No key or token is in it: it is an allow-list."""
    return {name: value for name, value in outer.items() if _PASSED.fullmatch(name)}


def environment(settings: Settings, outer: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Give the child's environment: what is passed on, and what the library reads only when its process starts."""
    passed = passed_on(outer)
    if not settings.ai_label:
        passed["NEONIZE_BOT_TAG"] = "off"
    if settings.proxy:
        passed = {name: value for name, value in passed.items() if name.lower() != "https_proxy"}
        passed["HTTPS_PROXY"] = settings.proxy
    return passed


def start_line(settings: Settings, places: Places, *, connect: bool = True) -> Start:
    """Give the first line to a child."""
    return Start(
        folder=str(places.folder.absolute()),
        device=settings.device,
        presence=settings.presence,
        proxy=settings.proxy or "",
        resend=settings.resend,
        max_media=settings.max_media * 2**20,
        spool_limit=settings.spool_limit,
        connect=connect,
    )


class ChildProcess:
    """One child, from its start to its end; an async context manager that leaves within 5 seconds.

    Iterating gives what the child says, answers aside, until it ends. What isn't read yet waits, up to 1,000 values;
    then the child waits, and so do answers.

    Args:
        settings: The instance's.
        places: Where its files are.
        connect: Whether it shall connect, or only hand over what is spooled.
        command: Another program than the usual one.

    Attributes:
        pid: Its process id.
        trouble: Why it is over though it didn't end by itself, in a sentence; or nothing.
        code: Its exit code, once it has ended; negative: the signal that ended it.
    """

    def __init__(
        self, settings: Settings, places: Places, *, connect: bool = True, command: Sequence[str] = COMMAND
    ) -> None:
        self.pid = 0
        self.trouble = ""
        self.code: int | None = None
        self._settings, self._places, self._command = settings, places, list(command)
        self._first = start_line(settings, places, connect=connect)
        self._process: Process | None = None
        self._tasks: TaskGroup | None = None
        self._heard: MemoryObjectReceiveStream[FromChild] | None = None
        self._writing = anyio.Lock()
        self._numbers = itertools.count(1)
        self._asked: dict[int, tuple[anyio.Event, list[Answer]]] = {}
        self._over = False

    async def __aenter__(self) -> Self:
        self._process = process = await self._opened()
        self.pid = process.pid
        try:
            said, self._heard = anyio.create_memory_object_stream[FromChild](_MOST_UNREAD)
            self._tasks = await anyio.create_task_group().__aenter__()
            self._tasks.start_soon(self._read, process, said)
            await self.send(self._first)
        except BaseException:
            await self._end(process)
            raise
        return self

    async def _opened(self) -> Process:
        log = _opened_log(self._places.log)
        try:
            with anyio.CancelScope(shield=True):  # a cancellation in between would leave a process that nobody knows
                process = await anyio.open_process(
                    self._command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    env=environment(self._settings),
                    start_new_session=True,
                )
        finally:
            os.close(log)
        return process

    async def __aexit__(self, *error: object) -> None:
        if self._process is not None:
            await self._end(self._process)

    def __aiter__(self) -> AsyncIterator[FromChild]:
        return self

    async def __anext__(self) -> FromChild:
        try:
            if self._heard is not None:
                return await self._heard.receive()
        except (anyio.EndOfStream, anyio.ClosedResourceError):
            pass
        raise StopAsyncIteration

    async def send(self, value: Value) -> bool:
        """Tell the child something, whole; gives whether it could be written. What was written may still be lost."""
        process = self._process
        if process is None or process.stdin is None or self._over:
            return False
        # Half a line, left by a cancellation, would become one with the next.
        with anyio.move_on_after(_WRITE_SECONDS, shield=True):
            async with self._writing:
                try:
                    await process.stdin.send(line(value))
                except _GONE:
                    return False
                return True
        self._fail(f"it has read nothing for {_WRITE_SECONDS:g} s")
        return False

    async def ask(self, request: Request) -> Answer:
        """Ask for something, under a number of its own. Where the child ends before it answers, that is an answer too.

        Args:
            request: Its number is replaced.
        """
        number = next(self._numbers)
        answered, answers = self._asked[number] = (anyio.Event(), [])
        try:
            if self._over:
                return Answer(request=number, error="away", said="its process has ended")
            if await self.send(request.model_copy(update={"request": number})):
                await answered.wait()
        finally:
            del self._asked[number]
        return answers[0] if answers else Answer(request=number, error="unknown", said="its process has ended")

    def trim_log(self) -> None:
        """Begin the log anew where it has become too large."""
        with suppress(OSError):
            if self._places.log.stat().st_size > MOST_LOG:
                os.truncate(self._places.log, 0)

    def last_words(self) -> str:
        """Give the last lines of the child's log."""
        try:
            with self._places.log.open("rb") as file:
                file.seek(max(file.seek(0, os.SEEK_END) - _LAST_WORDS, 0))
                return file.read().decode(errors="replace").strip()
        except OSError:
            return ""

    # -------------------------------------------------------------- reading
    async def _read(self, process: Process, said: MemoryObjectSendStream[FromChild]) -> None:
        assert process.stdout is not None  # noqa: S101  # it was asked for
        lines = BufferedByteReceiveStream(process.stdout)
        why = ""
        try:
            while True:
                value = from_child(await lines.receive_until(b"\n", LONGEST_LINE))
                if isinstance(value, Answer):
                    self._conclude(value)
                else:
                    await said.send(value)
        except (NotOurs, anyio.DelimiterNotFound) as error:
            why = f"it says what nobody understands: {error}"
        except (anyio.EndOfStream, anyio.IncompleteRead, *_GONE):
            pass
        finally:
            self._fail(why)
            said.close()

    def _conclude(self, answer: Answer) -> None:
        if asked := self._asked.get(answer.request):
            asked[1].append(answer)
            asked[0].set()

    def _fail(self, why: str) -> None:
        self._over = True
        self.trouble = self.trouble or why
        for answered, _ in self._asked.values():
            answered.set()

    # -------------------------------------------------------------- ending
    async def _end(self, process: Process) -> None:
        self._fail("")
        with anyio.CancelScope(shield=True):
            await self._end_process(process)
        try:
            if self._tasks is not None:
                self._tasks.cancel_scope.cancel()
                await self._tasks.__aexit__(None, None, None)  # what ends our block is not wrapped in a group with it
        finally:
            if self._heard is not None:
                self._heard.close()

    async def _end_process(self, process: Process) -> None:
        """End it: by the end of its input, by a signal, by force."""
        if process.stdin is not None:
            with anyio.move_on_after(_CLOSE_SECONDS), suppress(*_GONE):
                await process.stdin.aclose()
        for sign, seconds in _ENDING:
            if sign is not None:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, sign)
            with anyio.move_on_after(seconds):
                self.code = await process.wait()
                break
        with anyio.move_on_after(_KILL_SECONDS), suppress(*_GONE):
            await process.aclose()


def _opened_log(path: Path) -> int:
    private_folder(path.parent)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    if os.fstat(descriptor).st_size > MOST_LOG:
        os.ftruncate(descriptor, 0)
    return descriptor
