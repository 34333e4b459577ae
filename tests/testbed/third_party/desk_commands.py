"""The commands that ``desk`` brings: ``nanokimi desk …``."""

from __future__ import annotations

import anyio
import typer

from nanokimi_core import Invocation

app = typer.Typer(help="The desk's own commands.")


@app.command()
def where(ctx: typer.Context) -> None:
    """Say where answers are written."""
    here: Invocation = ctx.obj
    typer.echo(f"{here.context.name} writes {here.config.out} and keeps {here.context.folder.name}")


@app.command()
def fall() -> None:
    """Raise."""
    raise LookupError("the desk fell over")


@app.command()
def tidy() -> None:
    """Say what is done, out of a task."""
    anyio.run(_tidy)


async def _tidy() -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_say, "tidied")


async def _say(text: str) -> None:
    typer.echo(text)
