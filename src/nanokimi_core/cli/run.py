"""``nanokimi run``."""

from __future__ import annotations

import enum
import logging
import os
import signal
from typing import Annotated

import anyio
import typer

from nanokimi_core import __version__
from nanokimi_core.cli.guard import INTERRUPTED, debugging
from nanokimi_core.cli.interrupt import end_silently
from nanokimi_core.cli.opening import Setup, find_setup
from nanokimi_core.cli.options import Config, command, new_app
from nanokimi_core.cli.serving import offer_images, serve
from nanokimi_core.errors import AgentError
from nanokimi_core.logs import set_up
from nanokimi_core.runtime import Assistant
from nanokimi_core.signals import leave_at_once
from nanokimi_core.supervision import loop_options

log = logging.getLogger("nanokimi")


class LogForm(enum.Enum):
    """How log lines are written."""

    TEXT = "text"
    JSON = "json"


Logs = Annotated[
    LogForm | None, typer.Option("--logs", help="How log lines are written, in place of what the toml says.")
]

app = new_app()


@command(app, "run", "nanokimi run", "nanokimi --config /srv/kai/nanokimi.toml run")
def run(ctx: typer.Context, logs: Logs = None, config: Config = None) -> None:
    """Run the assistant as a service, with every transport of the toml.

    SIGTERM stops it: no more messages are taken, running turns finish within stop_timeout, and it exits with 0.
    A second signal ends it at once. SIGHUP has it read the toml again, as nanokimi reload does.
    """
    level = logging.DEBUG if debugging() else logging.INFO
    set_up(level)
    leave_at_once()
    setup = find_setup(ctx, config)
    set_up(level, form=logs.value if logs else setup.settings.logs)
    assistant = setup.assistant()
    with assistant.folder.hold():
        log.info("%s", _what_runs(assistant))
        _see_to_images(setup)
        end_silently()
        stopped: list[signal.Signals] = []
        anyio.run(serve, assistant, stopped.append, backend_options=loop_options())
    if not stopped:
        log.info("every transport has come to its end")
    if signal.SIGINT in stopped:
        raise typer.Exit(INTERRUPTED)


def _see_to_images(setup: Setup) -> None:
    """Offer to build what is missing; what stays missing is said, and the service goes on: it can come later."""
    try:
        for problem in offer_images(setup):
            log.warning("%s", problem)
    except AgentError as error:
        log.warning("%s", f"{error}; {error.remedy}" if error.remedy else error)


def _what_runs(assistant: Assistant) -> str:
    settings, location = assistant.settings, assistant.location
    parts = [
        f"transports {', '.join(settings.transports)}",
        f"backend {', '.join(settings.backends())}",
        f"auth {', then '.join(settings.auth) or 'none'}",
        f"toml {location.toml or 'none (defaults)'}",
        f"data {location.data}",
    ]
    return f"{settings.assistant} runs (nanokimi {__version__}, process {os.getpid()}): {'; '.join(parts)}"
