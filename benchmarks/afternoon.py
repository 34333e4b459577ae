"""How long a machine takes from a fresh virtual environment to the first answer of a transport that was made for it.

    PYTHONPATH=tests python benchmarks/afternoon.py [RUNS]

The aim: under a minute in all, the building of NanoKimi's own wheel aside. For comparison, in the same runs: what a
virtual environment and the installing of NanoKimi and pytest take by themselves.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from testbed.fresh import Fresh, build, free_name

AIM = 60.0
NEEDED = ("pytest>=8.4,<10", "trio>=0.30,<1")


class Steps:
    """What each step took, in seconds, in all runs."""

    def __init__(self) -> None:
        self.taken: dict[str, list[float]] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.taken.setdefault(name, []).append(time.perf_counter() - started)


def bare(steps: Steps, folder: Path, wheel: Path) -> None:
    with steps.step("bare"):
        Fresh(folder).install(wheel, *NEEDED)


def road(steps: Steps, folder: Path, wheel: Path) -> None:
    name = free_name()
    with steps.step("virtual environment"):
        fresh = Fresh(folder)
    with steps.step("install NanoKimi's wheel"):
        fresh.install(wheel)
    with steps.step("nanokimi plugins new transport"):
        fresh.nanokimi("plugins", "new", "transport", name)
    made = fresh.home / f"nanokimi-transport-{name}"
    with steps.step("install it with its tests"):
        fresh.install(f"{made}[test]")
    with steps.step("its tests"):
        fresh.pytest(made)
    with steps.step("nanokimi plugins"):
        fresh.nanokimi("plugins")
    with steps.step("nanokimi plugins check"):
        fresh.nanokimi("plugins", "check", name)
    fresh.toml(f'transports = ["{name}"]\n')
    with steps.step("nanokimi run, to the first answer"):
        answer(fresh, name)


def answer(fresh: Fresh, name: str) -> None:
    network = fresh.start(fresh.program("python"), "-m", f"nanokimi_transport_{name}.network")
    with network as people, fresh.start(fresh.program("nanokimi"), "run") as assistant:
        people.until("listening on ")
        people.type(assistant.until(r"/owner [\w-]+")[0])
        people.until("You are my owner now")
        people.type("good morning")
        people.until("^good morning$")


def main() -> int:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    steps = Steps()
    with tempfile.TemporaryDirectory() as place:
        with steps.step("build"):
            wheel = build(Path(place) / "wheels")
        for number in range(runs):  # in turns, so that a busy moment hits both alike
            bare(steps, Path(place) / f"bare{number}", wheel)
            road(steps, Path(place) / f"road{number}", wheel)
    (building,), plain = steps.taken.pop("build"), steps.taken.pop("bare")
    print(f"medians of {runs} runs, in seconds\n")
    for name, taken in steps.taken.items():
        print(f"{statistics.median(taken):8.2f}  {name}")
    total = statistics.median(map(sum, zip(*steps.taken.values(), strict=True)))
    verdict = "under the aim" if total < AIM else "OVER THE AIM"
    print(f"{total:8.2f}  in all; {verdict} of {AIM:g}")
    print(f"{statistics.median(plain):8.2f}  for comparison: a virtual environment with NanoKimi and pytest")
    print(f"{building:8.2f}  for comparison, once: building the wheel")
    return total >= AIM


if __name__ == "__main__":
    sys.exit(main())
