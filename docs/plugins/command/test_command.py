"""The backend, tried with a command that remembers, waits and fails when it is told to."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

import nanokimi_command

from nanokimi_core import Attachment, Failure
from nanokimi_core.testing import BackendRig, BackendSuite

AGENT = f"""#!{sys.executable}
import re, sys, time
from pathlib import Path

rig, heard, question = Path(sys.argv[0]).parent, Path("heard.txt"), sys.stdin.read()
with heard.open("a") as file:
    file.write(question + "\\n")
if (rig / "fails").exists():
    sys.exit(int((rig / "fails").read_text()))
if (rig / "holds").exists():
    print("One moment:", flush=True)
    (rig / "holds").rename(rig / "held")
    while (rig / "held").exists():
        time.sleep(0.01)
elif path := re.search(r"^\\[file\\] (.+) \\(", question, re.MULTILINE):
    print(Path(path[1]).read_text())
elif "remember?" in question:
    print(*re.findall(r"Remember the word (\\w+)", heard.read_text()))
elif said := re.search(r"Say (\\w+)", question):
    print(said[1])
else:
    print("So be it.")
"""
CODES = {Failure.RATE_LIMIT: 75, Failure.CRASHED: 1}


class CommandRig(BackendRig):
    (spec,) = nanokimi_command.nanokimi_backends()
    takes_grants = False

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.agent = folder / "agent.py"
        self.holds, self.held_up, self.fails = folder / "holds", folder / "held", folder / "fails"
        self.agent.write_text(AGENT)
        self.agent.chmod(0o700)

    async def __aexit__(self, *error: object) -> None:
        await self.let_go()

    def table(self) -> dict[str, list[str]]:
        return {"command": [str(self.agent)]}

    # ------------------------------------------------------------ what this agent can do besides
    async def hold(self) -> None:
        self.holds.touch()

    async def held(self) -> bool:
        return self.held_up.exists()

    async def let_go(self) -> None:
        self.holds.unlink(missing_ok=True)
        self.held_up.unlink(missing_ok=True)

    def failures(self) -> set[Failure]:
        return {*CODES, Failure.ENGINE}

    async def bring_about(self, failure: Failure) -> timedelta | None:
        if failure is Failure.ENGINE:
            self.agent.chmod(0o600)
            return None
        self.fails.write_text(str(CODES[failure]))
        return timedelta(seconds=1) if failure is Failure.RATE_LIMIT else None

    async def mend(self) -> None:
        self.agent.chmod(0o700)
        self.fails.unlink(missing_ok=True)

    async def asked(self) -> list[str]:
        latest = max(self.folder.glob("chats/*/agent/*/heard.txt"), key=lambda file: file.stat().st_mtime_ns)
        return latest.read_text().splitlines()

    async def instructed(self) -> str:
        (told,) = self.folder.glob("chats/*/agent/*/INSTRUCTIONS.md")
        return told.read_text()

    async def reading(self, file: Attachment) -> str:
        return "What is in this file?"


class TestCommand(BackendSuite):
    rig = CommandRig
