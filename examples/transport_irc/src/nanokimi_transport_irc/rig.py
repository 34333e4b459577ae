"""The rig: the transport in a channel of a real server, over a line that can break."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

from anyio import to_thread

from nanokimi_core import CommandError, write_private
from nanokimi_core.testing import TransportRig
from nanokimi_transport_irc import nanokimi_transports
from nanokimi_transport_irc.trial.ircd import BINARY, Ngircd
from nanokimi_transport_irc.trial.person import Person
from nanokimi_transport_irc.trial.proxy import Proxy

_NICK = "Kai"


class IrcRig(TransportRig):
    """ngIRCd on this machine, and Ana in #kit."""

    (spec,) = nanokimi_transports()
    chat = "#kit"
    secrets = ("swordfish-4711",)

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        if BINARY is None:
            raise CommandError("there is no ngircd on this machine", remedy="install it: apt-get install ngircd")
        self.ircd = Ngircd(folder)

    async def __aenter__(self) -> Self:
        await to_thread.run_sync(self._begin)
        return self

    def _begin(self) -> None:
        write_private(self.folder / "password", self.secrets[0].encode())
        self.ircd.start()
        self.proxy = Proxy(self.ircd.port)
        self.ana = Person(self.ircd.port, "Ana", self.chat)
        self.nickserv = Person(self.ircd.port, "NickServ")

    async def __aexit__(self, *error: object) -> None:
        await to_thread.run_sync(self._end)

    def _end(self) -> None:
        self.ana.close()
        self.nickserv.close()
        self.proxy.close()
        self.ircd.stop()

    def table(self) -> Mapping[str, Any]:
        """Give the table: no encryption on this machine, and everything faster than on a network."""
        return {
            "server": "127.0.0.1",
            "port": self.proxy.port,
            "tls": False,
            "nick": _NICK,
            "channels": [self.chat],
            "password": {"file": "password"},
            "login": "nickserv",
            "per_minute": 6000,
            "burst": 100,
            "patience": 3,
            "retry": 0.2,
            "absence": 0,
        }

    async def write(self, text: str) -> None:
        """Let Ana say this, line by line."""
        for line in text.splitlines():
            await to_thread.run_sync(self.ana.say, self.chat, line)

    async def shown(self, chat: str) -> Sequence[str]:
        """Give what Ana has heard of the assistant."""
        await to_thread.run_sync(self.ana.sync)
        return [
            message.parameters[1]
            for message in self.ana.commands("PRIVMSG")
            if message.parameters[0].lower() == chat and message.prefix and message.prefix.nick.startswith(_NICK)
        ]

    async def mention(self, text: str) -> None:
        """Let Ana call the assistant."""
        await self.write(f"{_NICK}: {text}")

    async def cut(self) -> None:
        """Break the transport's connection."""
        self.proxy.cut()

    async def refuse_lines(self) -> None:
        """Let nobody listen there any more."""
        self.proxy.refuse()

    async def fall_silent(self) -> None:
        """Accept connections and say nothing."""
        self.proxy.mute = True

    async def garbage(self, data: bytes) -> None:
        """Send the transport a line of anything."""
        await to_thread.run_sync(self.proxy.inject, data.replace(b"\n", b" ") + b"\r\n")

    async def forbid_next(self) -> None:
        """Let nobody but Ana speak in the channel, until somebody has tried."""
        await to_thread.run_sync(self._moderate)

    def _moderate(self) -> None:
        self.ana.do(f"MODE {self.chat} +m")
        self.ana.sync()

        def pass_down(line: str) -> bool:
            if " 404 " in line:
                self.proxy.pass_down = bool
                self.ana.do(f"MODE {self.chat} -m")
                self.ana.sync()
            return True

        self.proxy.pass_down = pass_down

    async def throttle_next(self) -> timedelta:
        """Be too busy for the next line; IRC doesn't say for how long, so the transport takes its ``retry``."""
        self.proxy.busy_once()
        return timedelta(seconds=self.table()["retry"])

    async def lose_next(self) -> None:
        """Let the next line through, and break the connection in place of the PONG behind it."""
        saying = False

        def pass_up(line: str) -> bool:
            nonlocal saying
            saying = saying or line.startswith("PRIVMSG")
            return True

        def pass_down(line: str) -> bool:
            if saying and " PONG " in line:
                self.proxy.pass_up = self.proxy.pass_down = bool
                self.proxy.cut()
                return False
            return True

        self.proxy.pass_up, self.proxy.pass_down = pass_up, pass_down
