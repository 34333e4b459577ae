"""Asking child processes about plugins: side by side, each within a time, with a cause when no answer comes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import anyio
from anyio.abc import ByteReceiveStream, Process

TIMEOUT = 20.0
_AT_ONCE = max(2, os.cpu_count() or 2)
_LARGEST = 1_000_000

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


async def _ask(question: Sequence[str], seconds: float) -> Answer:
    command = [sys.executable, "-P", "-m", "nanokimi_core.cli.look", *question]
    async with await anyio.open_process(command, stdin=subprocess.DEVNULL, start_new_session=True) as child:
        try:
            with anyio.move_on_after(seconds):
                return await _listen(child)
        finally:
            _end(child)
    return _no_answer(f"it took longer than {seconds:g} s", "mend or uninstall it, or give it longer with --timeout")


async def _listen(child: Process) -> Answer:
    assert child.stdout is not None  # noqa: S101  # for the type checker: pipes are the default
    assert child.stderr is not None  # noqa: S101
    said = {"out": b"", "err": b""}
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_drain, child.stderr, said, "err")
        await _drain(child.stdout, said, "out")
        await child.wait()
        tasks.cancel_scope.cancel()
    with suppress(ValueError):
        answer = json.loads(said["out"])
        if isinstance(answer, dict):
            return answer
    last = said["err"].decode("utf-8", "replace").strip().rpartition("\n")[2][-300:]
    code = child.returncode or 0
    end = f"signal {-code}" if code < 0 else f"exit code {code}"
    return _no_answer(f"it ended the process ({end}){f': {last}' if last else ''}", "mend or uninstall it")


async def _drain(stream: ByteReceiveStream, said: dict[str, bytes], name: str) -> None:
    async for chunk in stream:
        said[name] = (said[name] + chunk)[-_LARGEST:]


def _end(child: Process) -> None:
    """End the child and whatever it has started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)


def _no_answer(cause: str, remedy: str) -> Answer:
    return {"error": {"cause": cause, "remedy": remedy}}
