"""``nanokimi plugins new``."""

from __future__ import annotations

import shlex
from pathlib import Path

from nanokimi_core.cli.output import say
from nanokimi_core.cli.scaffold import plan, write


def make(kind: str, name: str, folder: Path | None) -> None:
    """Write a new plugin's distribution and say what to do with it.

    Raises:
        CommandError: It can't be called that, or there is something at its place already.
    """
    what = plan(kind, name)
    place = folder if folder is not None else Path(what.distribution)
    write(what, place)
    shown = str(place) if place.is_absolute() or str(place).startswith(".") else f"./{place}"
    say(f'Made {what.distribution}, the {what.kind} "{name}", in {shown}; its README.md says more. Next:')
    say()
    say(f"    pip install -e {shlex.quote(f'{shown}[test]')}")
    say(f"    pytest {shlex.quote(shown)}")
    say(f"    nanokimi plugins check {name}")
    say()
    say(f"and in nanokimi.toml:    {what.toml}")
