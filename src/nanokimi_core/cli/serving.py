"""What ``chat`` and ``run`` share: images that are missing, signals, the data folder's lock."""

from __future__ import annotations

import signal
from collections.abc import Callable

import anyio
import typer

from nanokimi_core.cli.opening import Setup, blamed, closed_after
from nanokimi_core.cli.output import on_terminal
from nanokimi_core.cli.progress import show_progress
from nanokimi_core.contracts.backend import BuildsImage, ImageStatus
from nanokimi_core.errors import CommandError
from nanokimi_core.instances import Instance
from nanokimi_core.runtime import Assistant, flat_errors
from nanokimi_core.signals import heed_signals


async def serve(assistant: Assistant, heard: Callable[[signal.Signals], None]) -> None:
    """Run an assistant until it ends by itself, or a signal stops it.

    Raises:
        NanoKimiError: A plugin can't be started.
    """
    async with flat_errors(), anyio.create_task_group() as tasks:
        await tasks.start(heed_signals, assistant, heard)
        await assistant.run()
        tasks.cancel_scope.cancel()


def missing_images(assistant: Assistant) -> list[tuple[str, ImageStatus]]:
    """Name the backends whose agents can't start for want of an image.

    Raises:
        AgentError: An engine can't be asked.
        PluginError: A plugin can't be started.
    """

    async def look() -> list[tuple[str, ImageStatus]]:
        async with assistant.without_transports():
            found = [(each.name, await image_status(each)) for each in backends(assistant)]
        return [(name, status) for name, status in found if status is not None and not status.present]

    return anyio.run(look)


def backends(assistant: Assistant) -> list[Instance]:
    """Give the backend instances that the toml names."""
    return [each for each in assistant.instances.values() if each.kind == "backend"]


async def image_status(backend: Instance) -> ImageStatus | None:
    """Ask a started backend about its image; ``None`` where it needs none.

    Raises:
        AgentError: The engine can't be asked.
    """
    if not isinstance(backend.value, BuildsImage):
        return None
    with blamed(backend.provided.plugin, "to say how its image stands"):
        return await backend.value.image_status()


def offer_images(setup: Setup) -> list[CommandError]:
    """Build the images that are missing, where a person at the terminal wants that; gives what is still missing.

    Raises:
        AgentError: The engine can't be asked, or a build failed.
    """
    left = []
    for name, status in missing_images(setup.assistant(transports=())):
        if status.buildable and on_terminal() and _wanted(status):
            anyio.run(build_image, setup, name, False)
        else:
            left.append(missing(status))
    return left


def missing(status: ImageStatus) -> CommandError:
    """Say that an image is missing, and how to get it."""
    if not status.buildable:
        remedy = "the toml names it, so fetch or build it yourself, or take image out of the toml"
    else:
        remedy = f"build it with: nanokimi image build{f' ({_size(status)})' if status.download else ''}"
    return CommandError(f'the agent\'s image "{status.name}" is not on this machine', remedy=remedy)


async def build_image(setup: Setup, name: str, fresh: bool) -> None:
    """Build a backend's image, with progress.

    Raises:
        AgentError: The build failed.
    """
    assistant = setup.assistant(transports=())
    async with assistant.without_transports():
        backend = assistant.instances[f"backend {name}"]
        with blamed(backend.provided.plugin, "to build its image"):
            async with closed_after(backend.value.build_image(fresh=fresh)) as steps:
                await show_progress(steps)


def _wanted(status: ImageStatus) -> bool:
    size = f" ({_size(status)})" if status.download else ""
    return typer.confirm(f'The agent\'s image "{status.name}" is missing. Build it now{size}?', default=True, err=True)


def _size(status: ImageStatus) -> str:
    return f"downloads {status.download}"
