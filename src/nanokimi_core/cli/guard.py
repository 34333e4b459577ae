"""What stands between a command and the person: every error becomes one sentence and an exit code."""

from __future__ import annotations

import os
import select
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import TextIO

import typer

from nanokimi_core.cli.output import OutputClosed, flush, note
from nanokimi_core.errors import AgentError, LoginNeeded, NanoKimiError

FAILED = 1
WRONG_USE = 2
INTERRUPTED = 130
OUTPUT_CLOSED = 141

_DEBUG = "NANOKIMI_DEBUG"
_HINT = f"to see where, run it again with {_DEBUG}=1"


def debugging() -> bool:
    """Whether tracebacks are asked for."""
    return os.environ.get(_DEBUG, "") not in ("", "0")


def run(arguments: Sequence[str]) -> int:
    """Run one command line and give the exit code; nothing is raised."""
    _forgive_encodings()
    try:
        code = _invoke(arguments)
        flush(sys.stdout)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else FAILED * bool(ended.code)
    except BaseException as error:  # noqa: BLE001  # the last boundary: a person never gets a traceback unasked
        code = _explain(_closed_output(error) or error)
    for stream in (sys.stdout, sys.stderr):
        _give_up_unwritten(stream)
    return code


def _closed_output(error: BaseException) -> OutputClosed | None:
    """Find out whether standard output is behind an error: what it didn't take, it doesn't take now either.

    It is also where a plugin is blamed for it, whose commands print as they like.
    """
    cause = _leaf(error.__cause__ or error)
    if isinstance(cause, OSError):
        try:
            flush(sys.stdout)
            if isinstance(cause, BrokenPipeError) and _is_unread(sys.stdout):
                raise OutputClosed("nobody reads it") from cause
        except OutputClosed as closed:
            return closed
    return None


def _is_unread(stream: TextIO) -> bool:
    """Whether nobody is at a pipe's other end; a flush doesn't tell where Python keeps nothing back to be written."""
    looked = select.poll()
    with suppress(OSError, AttributeError, ValueError):  # it may be closed, or not be there at all
        looked.register(stream.fileno(), 0)
    return bool(looked.poll(0))


def _invoke(arguments: Sequence[str]) -> int:
    from nanokimi_core.cli.app import command

    try:
        with command().make_context("nanokimi", list(arguments)) as context:
            context.command.invoke(context)
    except typer.Exit as ended:
        return ended.exit_code
    return 0


def _explain(error: BaseException) -> int:
    """Say what went wrong and give the exit code that goes with it."""
    error = _leaf(error)
    if debugging():
        note("".join(traceback.format_exception(error)).rstrip())
    if isinstance(error, (KeyboardInterrupt, typer.Abort)):
        return INTERRUPTED
    if isinstance(error, OutputClosed) and isinstance(error.__cause__, BrokenPipeError):
        return OUTPUT_CLOSED
    sentence, code = _sentence(error)
    note(f"nanokimi: {sentence}")
    return code


def _sentence(error: BaseException) -> tuple[str, int]:
    if isinstance(error, NanoKimiError):
        return str(error), error.exit_code
    if isinstance(error, OutputClosed):
        return f"standard output can't be written to: {error}; send it elsewhere", OUTPUT_CLOSED
    if isinstance(error, AgentError):
        return f"{error}; {error.remedy}" if error.remedy else str(error), FAILED
    if isinstance(error, LoginNeeded):
        return str(error), FAILED
    if isinstance(error, typer.TyperException):
        return _wrong_use(error), error.exit_code
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}; mend that and run it again ({_HINT})", FAILED
    said = " ".join(f"{type(error).__name__}: {error}".split())
    return f"this is a fault of NanoKimi: {said}; {_HINT}", FAILED


def _wrong_use(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "nanokimi"
    said = " ".join(error.format_message().split()).rstrip(".")
    return f"{said[:1].lower()}{said[1:]}; see: {path} --help"


def _leaf(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _forgive_encodings() -> None:
    """Let no character that a stream's encoding doesn't have end a command."""
    for stream in (sys.stdin, sys.stdout):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            with suppress(OSError):  # it writes out first what the stream still holds
                reconfigure(errors="replace")


def _give_up_unwritten(stream: TextIO | None) -> None:
    """Keep Python's own flush at exit from complaining about a stream that takes no more."""
    try:
        flush(stream)
    except OutputClosed:
        with suppress(OSError, AttributeError, ValueError):
            assert stream is not None  # noqa: S101  # for the type checker: it has just been flushed
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
