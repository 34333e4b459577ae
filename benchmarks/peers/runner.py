"""Runs the comparison: every measurement in a fresh process, the candidates in turns, several rounds."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.peers.aims import aims
from benchmarks.peers.candidates import Candidate, Failed, Result, candidates, measure
from benchmarks.peers.report import lines
from benchmarks.peers.work import SCENARIOS

MOST_ROUNDS_OF_NAPS = 2  # they show order, not speed
Runs = dict[tuple[str, str], list[Result | None]]


def options(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Compare NanoKimi with other frameworks and with a bare loop.")
    there = os.environ.get("NANOKIMI_PEERS")
    parser.add_argument("--peers", type=Path, default=Path(there) if there else None, help="the peers' environments")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each (default: 5)")
    parser.add_argument("--only", nargs="+", choices=SCENARIOS, help="these scenarios")
    parser.add_argument("--who", nargs="+", help="only candidates whose names begin so")
    parser.add_argument("--long", action="store_true", help="also 200,000 messages, once each")
    parser.add_argument("--json", type=Path, help="write all results into this file")
    parser.add_argument("--folder", type=Path, help="where the databases are written (default: a temporary folder)")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Measure and report; 1 where an aim was missed."""
    asked = options(arguments)
    everybody, missing = candidates(asked.peers.resolve() if asked.peers else None)
    taking_part = [each for each in everybody if not asked.who or each.name.startswith(tuple(asked.who))]
    names = asked.only or [name for name in SCENARIOS if name != "long" or asked.long]
    with tempfile.TemporaryDirectory(dir=asked.folder) as place:
        folder = Path(place)
        machine = describe(folder)
        warm_up(taking_part, folder)
        runs = run(taking_part, names, asked.rounds, folder)
    judged = aims(runs)
    print(f"\n{machine['says']}\n")
    print("\n".join(lines(runs, judged, taking_part, missing)))
    if asked.json:
        results = [{"scenario": name, "candidate": who, "rounds": found} for (name, who), found in runs.items()]
        whole = {"machine": machine, "missing": missing, "results": results, "aims": [asdict(aim) for aim in judged]}
        asked.json.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    return int(any(aim.met is False for aim in judged))


def warm_up(taking_part: list[Candidate], folder: Path) -> None:
    """Have every candidate's modules compiled and read once."""
    for candidate in taking_part:
        try:
            measure(candidate, candidate.scenarios[0], folder, count=20)
        except Failed as error:
            print(error, file=sys.stderr)


def run(taking_part: list[Candidate], names: list[str], rounds: int, folder: Path) -> Runs:
    """Make all measurements; a line on standard error tells of each."""
    runs: Runs = {(name, who.name): [] for name in names for who in taking_part if name in who.scenarios}
    for name, candidate in order(taking_part, names, rounds):
        try:
            result = measure(candidate, name, folder)
            print(f"{name:10}{candidate.name:30}{result['per_second']:>10,.0f} msg/s", file=sys.stderr)
        except Failed as error:
            result = None
            print(error, file=sys.stderr)
        runs[name, candidate.name].append(result)
    return runs


def order(taking_part: list[Candidate], names: list[str], rounds: int) -> Iterator[tuple[str, Candidate]]:
    """Say what is measured when: within a scenario the candidates take turns, so that a busy moment hits all alike."""
    for name in names:
        often = 1 if name == "long" else min(rounds, MOST_ROUNDS_OF_NAPS) if SCENARIOS[name].naps else rounds
        for _ in range(often):
            for candidate in taking_part:
                if name in candidate.scenarios:
                    yield name, candidate


def describe(folder: Path) -> dict[str, Any]:
    """Say on what it is measured."""
    sync = _sync_ms(folder)
    says = (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}, "
        f"Python {platform.python_version()}; a write that is synced to this disk takes {sync:.2f} ms"
    )
    return {"says": says, "sync_ms": sync, "python": platform.python_version(), "processors": os.cpu_count()}


def _sync_ms(folder: Path) -> float:
    taken = []
    with (folder / "sync").open("wb") as file:
        for _ in range(50):
            started = time.perf_counter()
            file.write(bytes(4096))
            file.flush()
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - started)
    return round(statistics.median(taken) * 1000, 3)
