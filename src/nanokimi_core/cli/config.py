"""``nanokimi config``."""

from __future__ import annotations

import typer

from nanokimi_core.cli.effective import effective
from nanokimi_core.cli.opening import find_setup
from nanokimi_core.cli.options import Config, command, new_group
from nanokimi_core.cli.output import say

_SHOW = "nanokimi config show"

app = new_group("Show what the toml comes to.", _SHOW)


@command(app, "show", _SHOW)
def show(ctx: typer.Context, config: Config = None) -> None:
    """Print the settings that hold, defaults included.

    As TOML, with secrets masked. Comments say where each file lies.
    """
    say(effective(find_setup(ctx, config)).rstrip())
