"""The progress of something long: a bar in a terminal, a line for each step elsewhere."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator

from nanokimi_core.cli.output import note, plain
from nanokimi_core.contracts.plugin import Progress


async def show_progress(steps: AsyncIterator[Progress]) -> None:
    """Show the steps on standard error as they come, until there are no more."""
    if sys.stderr is not None and sys.stderr.isatty():
        await _bar(steps)
    else:
        await _lines(steps)


async def _lines(steps: AsyncIterator[Progress]) -> None:
    said = ""
    async for step in steps:
        if step.text != said:
            said = step.text
            note(said)


async def _bar(steps: AsyncIterator[Progress]) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars
    from rich.table import Column

    words = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, ratio=1))
    columns = (SpinnerColumn(), words, BarColumn(bar_width=20), TimeElapsedColumn())
    with Bars(*columns, console=Console(stderr=True), expand=True) as bars:
        task = bars.add_task("", total=None)
        async for step in steps:
            bars.update(task, description=plain(step.text), completed=step.done or 0, total=step.total)
