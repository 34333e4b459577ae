"""``nanokimi image``."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Annotated

import anyio
import typer

from nanokimi_core.cli.guard import FAILED
from nanokimi_core.cli.opening import Setup, find_setup
from nanokimi_core.cli.options import Config, Json, command, new_group
from nanokimi_core.cli.output import say, say_json, say_table
from nanokimi_core.cli.serving import backends, build_image, image_status
from nanokimi_core.contracts.backend import ImageStatus
from nanokimi_core.errors import CommandError

app = new_group("The container image that agents run from.", "nanokimi image build", "nanokimi image status")


@command(app, "build", "nanokimi image build", "nanokimi image build --fresh")
def build(
    ctx: typer.Context,
    fresh: Annotated[bool, typer.Option("--fresh", help="Build every layer anew, without the engine's cache.")] = False,
    config: Config = None,
) -> None:
    """Build the image that agents run from.

    It is the one that the toml's backend needs. Progress goes to standard error.
    """
    setup = find_setup(ctx, config)
    for name, status in _statuses(setup):
        if not status.buildable:
            raise CommandError(
                f'the image "{status.name}" is named in the toml, so it is yours to build',
                remedy=f"take image out of [plugins.{name}] to have NanoKimi make one",
            )
        started = time.monotonic()
        anyio.run(build_image, setup, name, fresh)
        say(f'The image "{status.name}" is built ({time.monotonic() - started:.0f} s).')


@command(app, "status", "nanokimi image status")
def status(ctx: typer.Context, json: Json = False, config: Config = None) -> None:
    """Say whether the image is on this machine.

    Exits with 1 when it is missing.
    """
    found = _statuses(find_setup(ctx, config))
    if json:
        say_json({"images": [{"backend": name, **asdict(status)} for name, status in found]})
    else:
        say_table(["backend", "image", "state", "detail"], [_row(name, status) for name, status in found])
    missing = [(name, status) for name, status in found if not status.present]
    if missing and not json:
        buildable = any(status.buildable for _, status in missing)
        say(
            "\nBuild it with: nanokimi image build" if buildable else "\nFetch or build it yourself: the toml names it."
        )
    if missing:
        raise typer.Exit(FAILED)


def _statuses(setup: Setup) -> list[tuple[str, ImageStatus]]:
    """Ask each backend of the toml that has an image.

    Raises:
        CommandError: None has.
        AgentError: The engine can't be asked.
    """
    assistant = setup.assistant(transports=())

    async def look() -> list[tuple[str, ImageStatus]]:
        async with assistant.without_transports():
            found = [(each.name, await image_status(each)) for each in backends(assistant)]
        return [(name, status) for name, status in found if status is not None]

    found = anyio.run(look)
    if not found:
        names = ", ".join(setup.settings.backends())
        raise CommandError(
            f"the backend {names} needs no image", remedy="to get Kimi's agent, choose its backend with: nanokimi init"
        )
    return found


def _row(name: str, status: ImageStatus) -> list[str]:
    detail = status.detail or (f"building it downloads {status.download}" if status.download else "")
    return [name, status.name, "present" if status.present else "missing", detail]
