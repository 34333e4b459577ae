"""How long it takes to import the core and to start the command, against a Python that does nothing.

    python benchmarks/start.py [RUNS]

Aims: `import nanokimi_core` under 150 ms, `nanokimi --version` under 200 ms (medians of at least 5).
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CASES = {
    "python -c pass": ["-c", "pass"],
    "import nanokimi_core": ["-c", "import nanokimi_core"],
    "import all that a plugin author imports": ["-c", "from nanokimi_core import *"],
    "nanokimi --version": ["-c", "from nanokimi_core.cli import main; main()", "--version"],
    "nanokimi --help": ["-c", "from nanokimi_core.cli import main; main()", "--help"],
    "nanokimi chat --once hello (echo)": [
        "-c",
        "from nanokimi_core.cli import main; main()",
        "chat",
        "--once",
        "hello",
    ],
}
AIMS = {"import nanokimi_core": 0.150, "nanokimi --version": 0.200}


def seconds(arguments: list[str], home: Path) -> float:
    """Time one run; the environment has nothing that could find a toml of the machine's."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(home)}
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, *arguments],
        cwd=home,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
    )
    return time.perf_counter() - started


def main() -> int:
    runs = max(5, int(sys.argv[1])) if len(sys.argv) > 1 else 15
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        for arguments in CASES.values():
            seconds(arguments, home)  # writes the bytecode
        taken: dict[str, list[float]] = {name: [] for name in CASES}
        for _ in range(runs):  # in turns, so that a busy moment hits all alike
            for name, arguments in CASES.items():
                taken[name].append(seconds(arguments, home))
    bare = statistics.median(taken["python -c pass"])
    missed = False
    for name, times in taken.items():
        median = statistics.median(times)
        aim = AIMS.get(name)
        verdict = "" if aim is None else f"   aim {aim * 1000:.0f} ms: {'met' if median < aim else 'MISSED'}"
        missed = missed or (aim is not None and median >= aim)
        print(f"{name:42} {median * 1000:7.1f} ms   {median / bare:5.1f} x bare{verdict}")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
