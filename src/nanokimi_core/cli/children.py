"""Asking child processes about plugins: side by side, each within a time, with a cause when no answer comes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
from anyio.abc import ByteReceiveStream, Process
from anyio.streams.buffered import BufferedByteReceiveStream

TIMEOUT = 20.0
_AT_ONCE = max(2, os.cpu_count() or 2)
_LARGEST = 1_000_000
_ENDING = 5.0

Answer = dict[str, Any]


async def ask_all(questions: Sequence[Sequence[str]], *, seconds: float) -> list[Answer]:
    """Ask each question in a child of its own, and give the answers in the same order.

    Args:
        questions: Arguments of ``nanokimi_core.cli.look``.
        seconds: For each.
    """
    answers: list[Answer] = [{} for _ in questions]
    limiter = anyio.CapacityLimiter(_AT_ONCE)

    async def ask(at: int, question: Sequence[str]) -> None:
        async with limiter:
            answers[at] = await _ask(question, seconds)

    async with anyio.create_task_group() as tasks:
        for at, question in enumerate(questions):
            tasks.start_soon(ask, at, question)
    return answers


async def follow(
    module: str, arguments: Sequence[str], hear: Callable[[Answer], float | None], *, seconds: float
) -> str:
    """Hear what a child prints, object by object, until one of them is ``{"done": true}``.

    Args:
        module: Of ``nanokimi_core.cli``; the child's program.
        arguments: Its command line.
        hear: Is called with each object, and says in how many seconds the next one must come; ``None`` ends the child.
        seconds: In which the first one must come.

    Returns:
        Why the child ended before it had said all; empty where it hadn't.
    """
    said = {"err": b""}
    async with _child(module, arguments) as child, anyio.create_task_group() as tasks:
        out, err = _pipes(child)
        tasks.start_soon(_drain, err, said, "err")
        late = await _hear(BufferedByteReceiveStream(out), hear, seconds)
        if not late:  # it may need a moment to end by itself
            with anyio.move_on_after(_ENDING):
                await child.wait()
        tasks.cancel_scope.cancel()
    return _how_it_ended(child, said["err"]) if late is None else late


async def _hear(lines: BufferedByteReceiveStream, hear: Callable[[Answer], float | None], seconds: float) -> str | None:
    """Give why no answer came in time; empty where the child has said all, ``None`` where it ended before."""
    while True:
        try:
            with anyio.fail_after(seconds):
                answer = json.loads(await lines.receive_until(b"\n", _LARGEST))
        except TimeoutError:
            return f"it took longer than {seconds:g} s"
        except (anyio.EndOfStream, anyio.IncompleteRead):
            return None
        except (anyio.DelimiterNotFound, ValueError):
            return "it wrote what can't be read where the answers go"
        if answer.get("done"):
            return ""
        next_within = hear(answer)
        if next_within is None:
            return "it was ended"
        seconds = next_within


async def _ask(question: Sequence[str], seconds: float) -> Answer:
    async with _child("look", question) as child:
        with anyio.move_on_after(seconds):
            return await _listen(child)
    return _no_answer(f"it took longer than {seconds:g} s", "mend or uninstall it, or give it longer with --timeout")


@asynccontextmanager
async def _child(module: str, arguments: Sequence[str]) -> AsyncIterator[Process]:
    command = [sys.executable, "-P", "-m", f"nanokimi_core.cli.{module}", *arguments]
    async with await anyio.open_process(command, stdin=subprocess.DEVNULL, start_new_session=True) as child:
        try:
            yield child
        finally:
            _end(child)


def _pipes(child: Process) -> tuple[ByteReceiveStream, ByteReceiveStream]:
    assert child.stdout is not None  # noqa: S101  # for the type checker: pipes are the default
    assert child.stderr is not None  # noqa: S101
    return child.stdout, child.stderr


async def _listen(child: Process) -> Answer:
    out, err = _pipes(child)
    said = {"out": b"", "err": b""}
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_drain, err, said, "err")
        await _drain(out, said, "out")
        await child.wait()
        tasks.cancel_scope.cancel()
    with suppress(ValueError):
        answer = json.loads(said["out"])
        if isinstance(answer, dict):
            return answer
    return _no_answer(_how_it_ended(child, said["err"]), "mend or uninstall it")


def _how_it_ended(child: Process, err: bytes) -> str:
    last = err.decode("utf-8", "replace").strip().rpartition("\n")[2][-300:]
    code = child.returncode or 0
    end = f"signal {-code}" if code < 0 else f"exit code {code}"
    return f"it ended the process ({end}){f': {last}' if last else ''}"


async def _drain(stream: ByteReceiveStream, said: dict[str, bytes], name: str) -> None:
    async for chunk in stream:
        said[name] = (said[name] + chunk)[-_LARGEST:]


def _end(child: Process) -> None:
    """End the child and whatever it has started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)


def _no_answer(cause: str, remedy: str) -> Answer:
    return {"error": {"cause": cause, "remedy": remedy}}
