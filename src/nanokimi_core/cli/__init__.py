"""The command ``nanokimi``: a module for each command, imported when it is used."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and end the process; the target of the console script."""
    if sys.argv[1:] == ["--version"] and sys.stdout is not None:
        from nanokimi_core import __version__

        sys.stdout.write(f"nanokimi {__version__}\n")
        return
    try:
        from nanokimi_core.cli.guard import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # while modules are imported
        code = 130
    sys.exit(code)
