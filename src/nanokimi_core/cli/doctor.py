"""``nanokimi doctor``."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import anyio
import typer

from nanokimi_core.cli.checks import core_checks, instance_checks, other_plugins, unused_tables
from nanokimi_core.cli.children import TIMEOUT
from nanokimi_core.cli.guard import FAILED
from nanokimi_core.cli.opening import Setup
from nanokimi_core.cli.options import Config, Json, chosen_config, command, new_app
from nanokimi_core.cli.output import plain, say, say_json
from nanokimi_core.cli.plugins import Timeout
from nanokimi_core.config import load, locate
from nanokimi_core.contracts.plugin import Check
from nanokimi_core.errors import ConfigError
from nanokimi_core.plugins import PluginHost

_MARKS = {"ok": "ok", "warning": "warning", "failed": "FAILED"}

app = new_app()


@command(app, "doctor", "nanokimi doctor", "nanokimi doctor --json")
def doctor(ctx: typer.Context, json: Json = False, timeout: Timeout = TIMEOUT, config: Config = None) -> None:
    """Check the set-up, and say what mends it.

    Exits with 1 when something that the toml needs is broken.
    """
    checks = _checks(chosen_config(ctx, config), timeout)
    failed = any(check.outcome == "failed" for check in checks)
    if json:
        say_json({"ok": not failed, "checks": [asdict(check) for check in checks]})
    else:
        _show(checks)
    if failed:
        raise typer.Exit(FAILED)


def _checks(config: Path | None, timeout: float) -> list[Check]:
    checks = [Check("python", "ok", f"{platform.python_version()} at {sys.executable}")]
    try:
        location = locate(config)
        settings = load(location)
    except ConfigError as error:
        return [*checks, Check("toml", "failed", error.message, error.remedy or "mend that line")]
    setup = Setup(location, settings, PluginHost([]))
    checks += core_checks(setup)
    if all(check.outcome != "failed" for check in checks):  # without a data folder no instance can be made
        checks += anyio.run(instance_checks, setup, timeout)
    checks += anyio.run(unused_tables, setup, timeout)
    return checks + other_plugins(settings, timeout)


def _show(checks: Sequence[Check]) -> None:
    if sys.stdout is None or not sys.stdout.isatty():
        for check in checks:
            say("  ".join([_MARKS[check.outcome].ljust(7), check.name, check.cause]).rstrip())
            if check.remedy:
                say(f"         -> {check.remedy}")
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    colours = {"ok": "green", "warning": "yellow", "failed": "bold red"}
    table = Table.grid(padding=(0, 1))
    for check in checks:
        words = Text(plain(check.cause))
        if check.remedy:
            words.append(f"\n→ {plain(check.remedy)}", style="bold")
        table.add_row(Text(_MARKS[check.outcome], style=colours[check.outcome]), Text(plain(check.name)), words)
    Console(width=shutil.get_terminal_size().columns).print(table)
