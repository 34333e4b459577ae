"""Questions to the person at the terminal, or to a pipe that answers for them."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from nanokimi_core.cli.output import note
from nanokimi_core.errors import CommandError


def ask(question: str, default: str) -> str:
    """Ask for a text.

    Raises:
        CommandError: The input ended.
    """
    if not _person():
        return _read(f"{question} [{default}]") or default
    return str(typer.prompt(question, default=default, err=True)).strip()


def ask_secret(question: str) -> str:
    """Ask for a text that isn't shown; empty for none.

    Raises:
        CommandError: The input ended.
    """
    if not _person():
        return _read(question)
    return str(typer.prompt(question, default="", hide_input=True, show_default=False, err=True)).strip()


def choose(question: str, options: Sequence[tuple[str, str]], default: str) -> str:
    """Let one of several be chosen, by its number.

    Args:
        question: What it is about.
        options: Each value, and what it says to a person.
        default: A value.

    Raises:
        CommandError: The input ended.
    """
    note(f"\n{question}")
    for number, (_, words) in enumerate(options, start=1):
        note(f"  {number}. {words}")
    usual = next((number for number, (value, _) in enumerate(options, start=1) if value == default), 1)
    while True:
        said = ask("Number", str(usual))
        if said.isdigit() and 1 <= int(said) <= len(options):
            return options[int(said) - 1][0]
        note(f"Type a number from 1 to {len(options)}.")


def _person() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _read(question: str) -> str:
    """Read a pipe's answer.

    Raises:
        CommandError: The input ended.
    """
    note(f"{question}:")
    line = sys.stdin.readline() if sys.stdin is not None else ""
    if not line:
        raise CommandError("the input ended before every question was answered", remedy="add --yes")
    return line.strip()
