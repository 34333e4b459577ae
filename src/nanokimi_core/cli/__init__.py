"""The command ``nanokimi``: a module for each command, imported when it is used."""

from __future__ import annotations

import sys

from nanokimi_core.cli.interrupt import end_silently


def main() -> None:
    """Run the command line and end the process; the target of the console script."""
    end_silently()
    if sys.argv[1:] == ["--version"] and _version_said():
        return
    from nanokimi_core.cli.guard import run

    code = run(sys.argv[1:])
    end_silently()
    sys.exit(code)


def _version_said() -> bool:
    """Say the version, without a slow import; where that fails, it is said and explained the long way."""
    from nanokimi_core import __version__

    try:
        sys.stdout.write(f"nanokimi {__version__}\n")
        sys.stdout.flush()
    except (AttributeError, OSError):
        return False
    return True
