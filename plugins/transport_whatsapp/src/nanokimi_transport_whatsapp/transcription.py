"""Voice notes written down by a command of the owner's choice."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import anyio
from anyio.abc import Process

from nanokimi_transport_whatsapp.supervision import passed_on

MOST_OUTPUT = 20_000
"""Bytes of what a command writes that count; the rest is left out."""


class NotTranscribed(Exception):
    """The command gave no text; says why."""


async def transcribe(command: Sequence[str], file: Path, seconds: float) -> str:
    """Let a command write a voice note down, without a shell; what it has begun is ended with it.

    Args:
        command: Its words; ``{file}`` in them is the voice note's path.
        file: The voice note, absolute.
        seconds: How long it may take.

    Raises:
        NotTranscribed: It can't be run, failed, was too slow, or wrote nothing.
    """
    words = [word.replace("{file}", str(file)) for word in command]
    try:
        with anyio.CancelScope(shield=True):  # a cancellation in between would leave a process that nobody knows
            process = await anyio.open_process(
                words, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=passed_on(), start_new_session=True
            )
    except OSError as error:
        raise NotTranscribed(f"{words[0]} can't be run: {error.strerror}") from None
    said, whole = b"", False
    try:
        with anyio.move_on_after(seconds):
            said = await _read(process)
            whole = len(said) > MOST_OUTPUT or await process.wait() == 0
    finally:
        over = process.returncode
        await _end(process, whole=whole)
    if not whole:
        how = f"was not done within {seconds:g} s" if over is None else f"failed with exit code {over}"
        raise NotTranscribed(f"{words[0]} {how}")
    text = said[:MOST_OUTPUT].decode(errors="replace").strip()
    if not text:
        raise NotTranscribed(f"{words[0]} wrote nothing")
    return text


async def _read(process: Process) -> bytes:
    """Read what it writes, up to a little more than what counts."""
    said = b""
    with suppress(anyio.EndOfStream):
        while process.stdout is not None and len(said) <= MOST_OUTPUT:
            said += await process.stdout.receive()
    return said


async def _end(process: Process, *, whole: bool) -> None:
    with anyio.CancelScope(shield=True):
        if process.returncode is None or not whole:  # one that it has begun may live on
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        await process.aclose()
