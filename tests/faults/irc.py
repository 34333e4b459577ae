"""People on an IRC server who go on writing while the assistant is killed, and what they get to read."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

from faults.rig import Rig
from nanokimi_transport_irc.trial.ircd import Ngircd
from nanokimi_transport_irc.trial.person import Person

ASSISTANT = "Kai"
Said = tuple[str, str]  # a chat as the transport names it, and a line


class People:
    """Some people in some channels; each writes there and to the assistant, numbering what they write.

    Args:
        port: Of the server.
        nicks: Who.
        channels: Where.
        chance: Where they write next.

    Attributes:
        written: What was written, by chat and writer, in order.
    """

    def __init__(self, port: int, nicks: Sequence[str], channels: Sequence[str], chance: random.Random) -> None:
        self.written: dict[tuple[str, str], list[str]] = {}
        self._channels = channels
        self._chance = chance
        self._people = [Person(port, nick, *channels) for nick in nicks]
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(one,), daemon=True) for one in self._people]

    def start(self) -> None:
        """Begin to write."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Write no more, and wait until the server has it all."""
        self._over.set()
        for thread in self._threads:
            thread.join(20)
        self.sync()

    def sync(self) -> None:
        """Wait until everybody has what the server had for them."""
        for person in self._people:
            person.sync()

    def close(self) -> None:
        """Leave."""
        self._over.set()
        for person in self._people:
            person.close()

    def read(self) -> list[Said]:
        """Give what the assistant has said, in the order of each chat; a channel as the first of them has seen it."""
        lines = [(person.nick, line) for person in self._people for line in person.said_by(ASSISTANT)]
        return lines + [
            (channel, line) for channel in self._channels for line in self._people[0].said_by(ASSISTANT, channel)
        ]

    def _write(self, person: Person) -> None:
        number = 0
        with suppress(OSError):
            while not self._over.wait(self._chance.uniform(0.005, 0.03)):
                number += 1
                target = self._chance.choice([*self._channels, ASSISTANT])
                chat = person.nick if target == ASSISTANT else target
                text = f"{person.nick}{chat.strip('#')}.{number}"
                self.written.setdefault((chat, person.nick), []).append(text)
                person.do(f"PRIVMSG {target} :{text}")


class IrcRun:
    """The server, the people, and the assistant that is killed; ``close`` ends all but the assistant."""

    def __init__(self, rig: Rig, nicks: Sequence[str], channels: Sequence[str]) -> None:
        self.rig = rig
        self.ircd = Ngircd(rig.site.folder)
        self.ircd.start()
        self.people = People(self.ircd.port, nicks, channels, rig.chance)
        self.unnoted: Counter[Said] = Counter()
        self._notes = rig.site.folder / "parroted"
        rig.site.install("parrot", "faults.plugins.parrot")
        rig.site.toml(_TOML.format(port=self.ircd.port, channels=json.dumps(channels), notes=self._notes))

    def close(self) -> None:
        """End the people and the server."""
        self.people.close()
        self.ircd.stop()

    def kill(self) -> None:
        """``kill -9``; then note which lines people have read and the outbox still owes: those will come twice."""
        self.rig.service.kill()
        self.people.sync()
        read = set(self.people.read())
        self.unnoted.update(line for line in self._owed() if line in read)

    def prompted(self) -> dict[str, Said]:
        """Give the messages that the agent was asked, by their ids: chat and text."""
        text = self._notes.read_text() if self._notes.exists() else ""
        lines = [json.loads(line) for line in text.splitlines()]
        return {name: (chat, said) for name, chat, said in lines}

    def _owed(self) -> list[Said]:
        aside = self.rig.site.folder / f"owed{time.monotonic_ns()}"
        aside.mkdir()
        for file in self.rig.database.parent.glob(f"{self.rig.database.name}*"):
            if not file.name.endswith("-shm"):  # it is made anew from the write-ahead log
                shutil.copy(file, aside / file.name)
        try:
            return _read_owed(aside / self.rig.database.name)
        finally:
            shutil.rmtree(aside)


def _read_owed(database: Path) -> list[Said]:
    if not database.exists():
        return []
    with closing(sqlite3.connect(database)) as store, suppress(sqlite3.OperationalError):  # it has no tables yet
        query = "SELECT chat, text FROM outbox JOIN lane ON lane.id = outbox.lane WHERE state = 0 AND text IS NOT NULL"
        return [(chat, text) for chat, text in store.execute(query)]
    return []


_TOML = """
transports = ["irc"]
backend = "parrot"

[plugins.irc]
server = "127.0.0.1"
port = {port}
tls = false
channels = {channels}
per_minute = 30000
burst = 50
retry = 0.5
patience = 5

[plugins.parrot]
notes = "{notes}"
thinking = 0.02

[limits]
max_attempts = 100
send_attempts = 1000
max_waiting = 5000

[chats."irc:*"]
trigger = "always"
"""
