"""Options that several commands share, and how a command is declared."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from nanokimi_core.cli.output import say

Config = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="The toml, in place of the one that is found by itself."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

Function = TypeVar("Function", bound=Callable[..., Any])

_SETTINGS = {"help_option_names": ["-h", "--help"]}


def new_app() -> typer.Typer:
    """Make an app for one command; its help has colours in a terminal only."""
    return typer.Typer(add_completion=False, rich_markup_mode=_markup(), context_settings=_SETTINGS)


def new_group(text: str, *examples: str, cls: Any = None) -> typer.Typer:
    """Make an app for several commands; without one of them it shows its help."""
    app = typer.Typer(
        cls=cls,
        help=text,
        epilog=example(*examples),
        add_completion=False,
        rich_markup_mode=_markup(),
        context_settings=_SETTINGS,
        invoke_without_command=True,
    )

    @app.callback()
    def group(ctx: typer.Context) -> None:
        if ctx.invoked_subcommand is None:
            say(ctx.get_help())

    return app


def command(app: typer.Typer, name: str, *examples: str) -> Callable[[Function], Function]:
    """Make a function a command of an app; its docstring is the help, and examples stand at the help's end."""

    def declare(function: Function) -> Function:
        text = unwrapped(function.__doc__)
        return app.command(name, help=text, epilog=example(*examples))(function)

    return declare


def example(*lines: str) -> str:
    """Write the end of a command's help: how it is used."""
    return "\n".join(["\b", "Examples:" if len(lines) > 1 else "Example:", *(f"    {line}" for line in lines)])


def chosen_config(ctx: typer.Context, config: Path | None) -> Path | None:
    """Give the toml that the command line names: after the command's name, else before it."""
    return config or ctx.find_root().params.get("config")


def unwrapped(text: str | None) -> str:
    """Make each paragraph one line, to be wrapped at the terminal's width."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in (text or "").split("\n\n"))


def _markup() -> Any:
    return "rich" if sys.stdout is not None and sys.stdout.isatty() else None
