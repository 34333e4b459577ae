"""Who takes part, and how one measurement of one of them is made: in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
OURS, SINGLE, BARE = "nanokimi", "nanokimi, 1 per turn", "bare loop"
FEW, MANY = "nanokimi, 10 known chats", "nanokimi, 10,000 known chats"
TIME_LIMIT = 600  # seconds that one measurement may take

Result = dict[str, Any]


@dataclass(frozen=True)
class Candidate:
    """A thing to be measured.

    Attributes:
        name: In the report.
        module: Of ``benchmarks.peers``, run as a program.
        scenarios: What it takes part in.
        arguments: What the module is told besides.
        python: The interpreter of its virtual environment.
        note: What the report says of it.
    """

    name: str
    module: str
    scenarios: tuple[str, ...]
    arguments: tuple[str, ...] = ()
    python: str = sys.executable
    note: str = ""


_PEERS = ("serial", "burst", "slow", "order", "error", "sendfail")
HOME = (
    Candidate(
        OURS,
        "on_nanokimi",
        (*_PEERS, "paced", "long"),
        note="durable; as shipped: up to 8 turns at once, up to 20 waiting messages of a chat become one turn",
    ),
    Candidate(
        SINGLE,
        "on_nanokimi",
        ("burst", "slow", "order", "error", "sendfail", "long"),
        ("--single",),
        note="durable; max_batch = 1 and max_turns = chats: a turn for each message, as the others do it",
    ),
    Candidate(FEW, "on_nanokimi", ("known",), ("--known", "10"), note="durable; 10 chats in the toml and the store"),
    Candidate(MANY, "on_nanokimi", ("known",), ("--known", "10000"), note="durable; 10,000 of them, 10 of which write"),
    Candidate(
        BARE,
        "on_bare",
        ("serial", "burst", "slow", "order", "paced", "long"),
        note="durable; a task for each chat, SQLite FULL with group commit, and nothing else",
    ),
)
_AWAY = {
    "nonebot2": ("nonebot", "on_nonebot", "in memory; a task for each message, without a bound"),
    "errbot": ("errbot", "on_errbot", "in memory; ten threads"),
    "opsdroid": ("opsdroid", "on_opsdroid", "in memory; one message at a time, all chats"),
}


def candidates(peers: Path | None) -> tuple[list[Candidate], list[str]]:
    """Give who takes part, and a sentence for each peer that doesn't.

    Args:
        peers: The folder with the peers' virtual environments.
    """
    found, missing = list(HOME), []
    for name, (folder, module, note) in _AWAY.items():
        python = peers / folder / "bin" / "python" if peers else None
        if python is None:
            missing.append(f"{name} is left out: no folder of peers was named (--peers)")
        elif not python.exists():
            missing.append(f"{name} is left out: it is not installed in {python.parents[1]}")
        else:
            found.append(Candidate(name, module, _PEERS, python=str(python), note=note))
    return found, missing


class Failed(Exception):
    """A measurement came to nothing; the text says why."""


def measure(candidate: Candidate, scenario: str, folder: Path, *, count: int | None = None) -> Result:
    """Run one measurement.

    Args:
        candidate: Of what.
        scenario: Which.
        folder: Where its databases and its compiled modules go.
        count: Another count of messages than the scenario's.

    Raises:
        Failed: The process failed or gave no result.
    """
    more = ["--count", str(count)] if count else []
    command = [candidate.python, "-m", f"benchmarks.peers.{candidate.module}", scenario, *candidate.arguments, *more]
    try:
        done = subprocess.run(
            command, cwd=folder, env=_environment(folder), capture_output=True, text=True, timeout=TIME_LIMIT
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"{candidate.name} did not end {scenario} within {TIME_LIMIT} s") from None
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        said = (done.stderr.strip() or "nothing").splitlines()[-1]
        raise Failed(f"{candidate.name} failed in {scenario} (exit {done.returncode}): {said}")
    result: Result = json.loads(lines[-1])
    if result["imports_ours"] and candidate.module != "on_nanokimi":
        raise Failed(f"{candidate.name} imported nanokimi_core, which no peer may")
    return result


def _environment(folder: Path) -> dict[str, str]:
    """Every candidate runs from compiled modules, as installed software does: compiling costs time and memory."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "PYTHONPATH": str(ROOT),
        "PYTHONPYCACHEPREFIX": str(folder / "compiled"),
    }
