"""``python -m nanokimi_core`` is the command ``nanokimi``."""

from nanokimi_core.cli import main

main()
