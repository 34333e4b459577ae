"""The root of the command line."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from nanokimi_core import __version__
from nanokimi_core.cli.commands import Commands
from nanokimi_core.cli.options import Config, example, new_app
from nanokimi_core.cli.output import say


def command() -> Any:
    """Make the command ``nanokimi``."""
    return typer.main.get_command(_app())


def _app() -> typer.Typer:
    app = new_app()
    app.callback(
        cls=Commands,
        invoke_without_command=True,
        epilog=example("nanokimi chat", "nanokimi init && nanokimi doctor && nanokimi run"),
    )(nanokimi)
    return app


def nanokimi(
    ctx: typer.Context,
    config: Config = None,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """A self-hosted assistant: chat networks on one side, Kimi agents in containers on the other.

    Plugins can bring commands of their own, as nanokimi NAME; nanokimi plugins lists them.
    """
    if version:
        say(f"nanokimi {__version__}")
    elif ctx.invoked_subcommand is None:
        say(ctx.get_help())
