"""``nanokimi chat``."""

from __future__ import annotations

import logging
import signal
import sys
import time
from typing import Annotated

import anyio
import typer

from nanokimi_core.builtin.console import CHAT, Console
from nanokimi_core.cli.guard import FAILED, INTERRUPTED, debugging
from nanokimi_core.cli.joining import Ended, join_running
from nanokimi_core.cli.opening import Setup, find_setup
from nanokimi_core.cli.options import Config, chosen_config, command, new_app
from nanokimi_core.cli.output import OutputClosed, note
from nanokimi_core.cli.serving import offer_images, serve
from nanokimi_core.config import locate
from nanokimi_core.folder import DataFolder
from nanokimi_core.logs import set_up
from nanokimi_core.runtime import Assistant
from nanokimi_core.supervision import loop_options

_PATIENCE = 0.5

app = new_app()


@command(app, "chat", "nanokimi chat", 'nanokimi chat --once "What can you do?"', "echo Hello | nanokimi chat")
def chat(
    ctx: typer.Context,
    once: Annotated[
        str | None, typer.Option("--once", metavar="TEXT", help="Say this, print the answer, and end.")
    ] = None,
    config: Config = None,
) -> None:
    """Talk to the assistant in this terminal.

    Where an assistant runs on the same data folder, this terminal joins it as its console, and leaves it with Ctrl-D.
    Else the console takes the place of the toml's transports. From a pipe, each line is a message. Exits with 1 when
    an answer to --once or to a pipe's line failed.
    """
    if once is not None and not once.strip():
        raise typer.BadParameter("there is no text", param_hint="--once")
    if sys.stdout is None:
        raise OutputClosed("it is closed")
    set_up(logging.DEBUG if debugging() else logging.WARNING, short=not debugging())
    interactive = once is None and sys.stdin is not None and sys.stdin.isatty()
    location = locate(chosen_config(ctx, config))
    ended = anyio.run(join_running, DataFolder(location.data), once, interactive)
    if ended is None:
        ended = _alone(find_setup(ctx, config), once, interactive)
    if ended.signal is not None:
        raise typer.Exit(128 + ended.signal)
    if ended.failed and not interactive:
        if ended.dropped:
            note("What got no answer is dropped, since nobody waits for it any more; ask it again.")
        raise typer.Exit(FAILED)


def _alone(setup: Setup, once: str | None, interactive: bool) -> Ended:
    if setup.location.toml is None:
        note("No nanokimi.toml yet, so the built-in echo answers with what you write; to get Kimi: nanokimi init")
    assistant = setup.assistant(transports=("console",), plugins=_with_once(setup, once))
    with assistant.folder.hold():
        for problem in offer_images(setup):
            raise problem
        stopped, given_up = anyio.run(_talk, assistant, not interactive, backend_options=loop_options())
    console: Console | None = assistant.instances["transport console"].value
    return Ended(stopped, bool(given_up or (console is not None and console.lost)), dropped=True)


def _with_once(setup: Setup, once: str | None) -> dict[str, object]:
    plugins: dict[str, object] = dict(setup.settings.plugins)
    if once is not None:
        plugins["console"] = {**setup.settings.plugins.get("console", {}), "once": once}
    return plugins


async def _talk(assistant: Assistant, fresh: bool) -> tuple[int | None, int]:
    """Run the chat; gives the number of the signal that ended it, if one did, and how many answers were given up.

    Where it is ``fresh``, what an earlier chat left unanswered is dropped, and what this one leaves.
    """
    began = time.time()
    if fresh:
        await _drop(assistant, began)
    stopped: list[signal.Signals] = []
    told = anyio.Event()

    def heard(number: signal.Signals) -> None:
        stopped.append(number)
        told.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_ask_for_patience, told)
        await serve(assistant, heard)
        tasks.cancel_scope.cancel()
    given_up = await _drop(assistant, began) if fresh else 0
    return (stopped[0] if stopped else None), given_up


async def _drop(assistant: Assistant, since: float) -> int:
    """Drop what waits; gives how much it was, and how many answers have been given up since a moment."""
    async with assistant.store as store:
        letters = await store.dead(chat=f"console:{CHAT}")
        waiting = await assistant.drop_waiting("console", CHAT)
    return waiting + sum(letter.at >= since for letter in letters)


async def _ask_for_patience(told: anyio.Event) -> None:
    await told.wait()
    await anyio.sleep(_PATIENCE)
    note("Stopping when the answer is finished; Ctrl-C again ends at once.")


assert INTERRUPTED == 128 + signal.SIGINT  # noqa: S101  # documented as one exit code
