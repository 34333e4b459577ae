"""A site with the wire and the brain of the fault tests, its peers, and the process between them."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faults.peer import Peer
from faults.service import Service
from testbed.site import Site

SECONDS = 60
LOOK = 0.005


@dataclass(frozen=True)
class Note:
    """A turn that was started: when (as in ``time.monotonic``), by which process, for which chat and messages."""

    at: float
    process: int
    chat: str
    ids: tuple[str, ...]


@dataclass(frozen=True)
class Rows:
    """What a store holds: for each message its (chat, state, attempts), and the same for each outbox key."""

    inbox: Mapping[str, tuple[str, str, int]]
    outbox: Mapping[str, tuple[str, str, int]]

    def messages(self, state: str) -> list[str]:
        return [name for name, row in self.inbox.items() if row[1] == state]

    def keys(self, state: str) -> list[str]:
        return [name for name, row in self.outbox.items() if row[1] == state]


class Rig:
    """Everything that a fault test needs; ``close`` ends all of it.

    Args:
        folder: For the site.

    Attributes:
        site: With the toml and the data.
        service: The process.
        peers: By their transports' names.
        chance: Its seed is in every failed assertion of the rig.
    """

    def __init__(self, folder: Path) -> None:
        self.site = Site(folder)
        self.service = Service(self.site)
        self.peers: dict[str, Peer] = {}
        self.seed = time.time_ns()
        self.chance = random.Random(self.seed)  # noqa: S311  # no secret
        self._wires: dict[str, dict[str, Any]] = {}
        self._copies = 0
        self.site.install("wire", "faults.plugins.wire")
        self.site.install("brain", "faults.plugins.brain")

    def close(self) -> None:
        """End the process and the peers."""
        try:
            self.service.close()
        finally:
            for peer in self.peers.values():
                peer.close()

    def wire(self, name: str = "wire", *, dedupes: bool = True, slow: float = 0.0, **table: Any) -> Peer:
        """Add a transport with a peer of its own; to be called before ``configure``."""
        peer = self.peers[name] = Peer(self.site.folder / name, dedupes=dedupes, slow=slow)
        peer.trouble = self._trouble
        self._wires[name] = {"use": "wire", "socket": str(peer.path), **table}
        return peer

    def configure(
        self,
        *,
        limits: Mapping[str, Any] | None = None,
        owner: str = "",
        account: tuple[str, Mapping[str, Any]] | None = None,
        **brain: Any,
    ) -> None:
        """Write the toml: all wires, with every chat let in, and an account; the rest goes into the brain's table."""
        tables = {f"plugins.{name}": table for name, table in self._wires.items()}
        tables |= {"plugins.brain": {"notes": str(self.notes_file), **brain}, "limits": dict(limits or {})}
        tables |= {f'chats."{name}:*"': {} for name in self._wires}
        lines = [f"transports = {json.dumps(list(self._wires))}", 'backend = "brain"']
        lines += [f"owner = {json.dumps(owner)}"] if owner else []
        if account is not None:
            lines.append(f"auth = {json.dumps(account[0])}")
            tables[f"plugins.{account[0]}"] = dict(account[1])
        for name, table in tables.items():
            lines.append(f"[{name}]")
            lines.extend(f"{key} = {json.dumps(value)}" for key, value in table.items())
        self.site.toml("\n".join(lines) + "\n")

    @property
    def notes_file(self) -> Path:
        return self.site.folder / "notes"

    @property
    def database(self) -> Path:
        return self.site.data / "nanokimi.db"

    def notes(self) -> list[Note]:
        """Give the turns that were started, in order."""
        text = self.notes_file.read_text() if self.notes_file.exists() else ""
        lines = [line.split(" ") for line in text.splitlines()]
        return [Note(float(line[0]), int(line[1]), line[2], tuple(line[3:])) for line in lines]

    def rows(self) -> Rows:
        """Read the store of a process that is gone, from a copy: looking must not repair what the next one finds."""
        self._copies += 1
        aside = self.site.folder / f"copy{self._copies}"
        aside.mkdir()
        for file in self.database.parent.glob("nanokimi.db*"):
            if not file.name.endswith("-shm"):  # it is made anew from the write-ahead log
                shutil.copy(file, aside / file.name)
        if not (aside / self.database.name).exists():
            return Rows({}, {})
        with closing(sqlite3.connect(aside / self.database.name)) as store:
            found = _rows(store)
        shutil.rmtree(aside)
        return found

    def live_rows(self) -> Rows:
        """Read the store of a process that runs."""
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as store:
            return _rows(store)

    def finish(self, seconds: float = SECONDS) -> Mapping[str, int]:
        """Wait until all is answered and noted, stop the process cleanly, and give the counters."""
        for name, peer in self.peers.items():
            self.service.until_said(f"{name} is connected")
            peer.until_answered(seconds)
        self.until("nothing is owed", lambda: not self.live_rows().keys("owed"))
        code = self.service.stop()
        assert code == 0, f"{code}; {self}"
        return self.counters()

    def counters(self) -> Mapping[str, int]:
        """Ask the stopped assistant for its counters, and see to it that they add up."""
        assert not self.service.running
        done = self.site.run("status", "--json")
        assert done.returncode == 1, done.stderr  # no process runs
        counters: dict[str, int] = json.loads(done.stdout)["counters"]
        came = ("duplicate", "refused_chat", "refused_sender", "refused_cap", "refused_own", "accepted")
        ends = ("context", "answered", "command", "cancelled", "edit", "pending", "dead")
        assert counters["received"] == sum(counters[name] for name in came), counters
        assert counters["accepted"] == sum(counters[name] for name in ends), counters
        return counters

    def until(self, what: str, reached: Callable[[], bool], seconds: float = SECONDS) -> None:
        """Look again and again until something holds."""
        deadline = time.monotonic() + seconds
        while not reached():
            assert time.monotonic() < deadline, f"not within {seconds} s: {what}; {self}"
            time.sleep(LOOK)

    def keep_running(self, what: str, reached: Callable[[], bool], *, starts: int, seconds: float = 90) -> list[int]:
        """Start the process again whenever it ends, up to ``starts`` times, until something holds; gives exit codes."""
        codes: list[int] = []
        deadline = time.monotonic() + seconds
        while not reached():
            assert time.monotonic() < deadline, f"not within {seconds} s: {what}; {self}"
            if not self.service.running:
                if self.service.starts and self.service.process.returncode is not None:
                    codes.append(self.service.ended())
                assert len(codes) < starts, f"it ended {len(codes)} times before: {what}; {self}"
                self.service.start()
            time.sleep(LOOK)
        return codes

    def _trouble(self) -> str:
        service = self.service
        return "" if service.running else f"the process has ended: {service.logs[-1000:]}"

    def __repr__(self) -> str:
        return f"seed {self.seed}, {list(self.peers.values())}, log: {self.service.logs[-3000:]}"


def _rows(store: sqlite3.Connection) -> Rows:
    return Rows(_read(store, "message", "inbox_states"), _read(store, "key", "outbox_states"))


def _read(store: sqlite3.Connection, name: str, view: str) -> dict[str, tuple[str, str, int]]:
    exists = store.execute("select 1 from sqlite_master where name = ?", (view,)).fetchone()
    if not exists:  # killed before its first start had made them
        return {}
    rows = store.execute(f"select {name}, chat, state, attempts from {view}")  # noqa: S608  # both are ours
    return {row[0]: (row[1], row[2], row[3]) for row in rows}
