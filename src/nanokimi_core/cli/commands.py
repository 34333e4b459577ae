"""The commands by name: the built-in ones, then those of plugins; each imported when it is used."""

from __future__ import annotations

import difflib
import importlib
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from nanokimi_core.cli.interrupt import interrupt_again
from nanokimi_core.errors import AgentError, CommandError, LoginNeeded, NanoKimiError

BUILT_IN = {
    "chat": "Talk to the assistant in this terminal.",
    "run": "Run the assistant as a service, with every transport of the toml.",
    "status": "Say how the assistant stands.",
    "reload": "Have the running process read its toml again.",
    "chats": "The chats that are known, and who may talk to the assistant.",
    "dead": "Messages and answers that were given up.",
    "init": "Write a nanokimi.toml with comments, from questions or from flags.",
    "config": "Show what the toml comes to.",
    "plugins": "List the installed plugins, and what is wrong with them.",
    "doctor": "Check the set-up, and say what mends it.",
    "image": "The container image that agents run from.",
    "auth": "The accounts that pay for the agent.",
    "debug": "Look at the agent in its container.",
}

_PLUGIN = "nanokimi.plugin"
_OWN = (typer.Exit, typer.Abort, typer.TyperException, NanoKimiError, AgentError, LoginNeeded)


class Commands(TyperGroup):
    """The root group. Its help imports no command, and only a plugin's name as the command imports that plugin."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Name the built-in commands; a plugin's would take importing it."""
        return list(BUILT_IN)

    def get_command(self, ctx: Any, cmd_name: str) -> TyperCommand | None:
        """Give what the help shows of a command."""
        text = BUILT_IN.get(cmd_name)
        return TyperCommand(name=cmd_name, help=text) if text else None

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str, Any, list[str]]:
        """Import the command that is used.

        Raises:
            CommandError: There is none of that name.
            PluginError: It is a plugin's, and the plugin is broken.
        """
        name, *rest = args
        if name in BUILT_IN:
            found = typer.main.get_command(importlib.import_module(f"nanokimi_core.cli.{name}").app)
            interrupt_again()
            return name, found, rest
        from nanokimi_core.cli.mount import mounted, names

        brought = mounted(ctx, name)
        if brought is None:
            raise _unknown(name, [*BUILT_IN, *names()])
        command, ctx.meta[_PLUGIN] = brought
        interrupt_again()
        return name, command, rest

    def invoke(self, ctx: Any) -> Any:
        """Run the command; what a plugin's command raises is blamed on the plugin."""
        try:
            return super().invoke(ctx)
        except _OWN:
            raise
        except Exception as error:
            plugin = ctx.meta.get(_PLUGIN)
            if plugin is None:
                raise
            from nanokimi_core.plugins import blame

            raise blame(plugin, "in its command", error) from error


def _unknown(name: str, known: list[str]) -> CommandError:
    close = difflib.get_close_matches(name, known, n=1)
    remedy = f'did you mean "{close[0]}"?' if close else "see: nanokimi --help"
    error = CommandError(f'there is no command "{name}"', remedy=remedy)
    error.exit_code = 2
    return error
