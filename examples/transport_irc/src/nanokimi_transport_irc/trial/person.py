"""A person on IRC: says things, and remembers what came."""

from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

from irclib.parser import Message

from nanokimi_transport_irc.trial.ircd import OPERATOR

_SECONDS = 60


class Person:
    """A client with a nick, in some channels; ``close`` ends it.

    Args:
        port: Of the server.
        nick: To use.
        channels: To be in.

    Attributes:
        heard: All that came, in order.
    """

    def __init__(self, port: int, nick: str, *channels: str) -> None:
        self.nick = nick
        self.heard: list[Message] = []
        self._changed = threading.Condition()
        self._tokens = itertools.count()
        self._gone = False
        self._socket = socket.create_connection(("127.0.0.1", port), _SECONDS)
        self._socket.settimeout(None)
        self._thread = threading.Thread(target=self._read, name=f"person {nick}", daemon=True)
        self._thread.start()
        self.do(f"NICK {nick}", f"USER {nick} 0 * :{nick}")
        self.until(lambda: self.commands("376", "422"), "a welcome")
        for channel in channels:
            self.do(f"JOIN {channel}")
        self.sync()

    def close(self) -> None:
        """Hang up."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(_SECONDS)
        self._socket.close()

    def do(self, *lines: str) -> None:
        """Give commands as they stand."""
        self._socket.sendall("".join(f"{line}\r\n" for line in lines).encode(errors="surrogateescape"))

    def say(self, target: str, text: str) -> None:
        """Say something; returns when the server has it."""
        self.do(f"PRIVMSG {target} :{text}")
        self.sync()

    def sync(self) -> None:
        """Wait until the server has dealt with all that was given before."""
        token = f"{self.nick}{next(self._tokens)}"
        self.do(f"PING {token}")
        self.until(lambda: any(message.parameters[-1:] == [token] for message in self.commands("PONG")), "a PONG")

    def become_operator(self) -> None:
        """Get the rights of an operator of the server."""
        self.do(f"OPER {' '.join(OPERATOR)}")
        self.until(lambda: self.commands("381"), "an operator's rights")

    def commands(self, *names: str) -> list[Message]:
        """Give what came of some commands."""
        return [message for message in list(self.heard) if message.command in names]

    def said_by(self, nick: str, target: str = "") -> list[str]:
        """Give what somebody has said, to a channel or to this person."""
        return [
            message.parameters[1]
            for message in self.commands("PRIVMSG")
            if message.prefix
            and message.prefix.nick == nick
            and message.parameters[0].lower() == (target or self.nick).lower()
        ]

    def sees(self, nick: str) -> bool:
        """Whether somebody is on the network."""
        before = len(self.heard)
        self.do(f"WHOIS {nick}")
        self.sync()
        return any(message.command == "311" for message in self.heard[before:])

    def until(self, reached: Callable[[], object], what: str, seconds: float = _SECONDS) -> None:
        """Wait until something that came makes it so."""
        with self._changed:
            came = self._changed.wait_for(lambda: bool(reached()) or self._gone, seconds)
            came = came and bool(reached())
        assert came, f"{self.nick} never had {what}: {[str(message) for message in self.heard][-12:]}"

    def _read(self) -> None:
        with suppress(OSError), self._socket.makefile("rb") as lines:
            for line in lines:
                message = Message.parse(line.rstrip(b"\r\n").decode(errors="replace"))
                if message.command == "PING":
                    self.do(f"PONG :{message.parameters[-1]}")
                with self._changed:
                    self.heard.append(message)
                    self._changed.notify_all()
        with self._changed:
            self._gone = True
            self._changed.notify_all()
