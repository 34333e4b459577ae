"""``nanokimi reload``."""

from __future__ import annotations

import typer

from nanokimi_core.cli.options import Config, command, new_app
from nanokimi_core.cli.output import say
from nanokimi_core.cli.reaching import with_process
from nanokimi_core.errors import CommandError

app = new_app()


@command(app, "reload", "nanokimi reload")
def reload(ctx: typer.Context, config: Config = None) -> None:
    """Have the running process read its toml again.

    Chats, limits, language and accounts change without a restart; what needs one is said. A toml that is wrong is
    refused, and everything stays as it was. Exits with 1 when no process runs. SIGHUP does the same.
    """
    later = with_process(ctx, config, lambda operations: operations.reload())
    if later is None:
        raise CommandError("no process runs that could read its toml again", remedy="start one with: nanokimi run")
    say("The toml is read again.")
    for sentence in later:
        say(f"  -> {sentence}")
