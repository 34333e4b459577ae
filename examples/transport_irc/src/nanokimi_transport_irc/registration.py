"""How a connection is opened: the nick, the password, capabilities. No I/O: it hears messages and gives commands."""

from __future__ import annotations

import base64
import random
from collections.abc import Iterator

from irclib.parser import CapList, Message
from pydantic import SecretStr

from nanokimi_core import ConfigError
from nanokimi_transport_irc.line import ConnectionLost
from nanokimi_transport_irc.settings import Settings

Command = tuple[str, ...]
_TAKEN = frozenset({"433", "436", "437"})
_LOGIN_FAILED = frozenset({"902", "904", "905", "906", "908"})
_MOST_NICKS = 10
_CHUNK = 400
_WANTED = ("message-tags", "sasl")


class Registration:
    """From the first line to the server's welcome.

    Args:
        settings: Whom to tell what.
        nick: The one to ask for; another one where it is taken.
        password: Whose use ``settings.login`` says.

    Attributes:
        nick: The one that the server knows us by.
        done: The server has welcomed us.
    """

    def __init__(self, settings: Settings, nick: str, password: SecretStr | None) -> None:
        self.nick = nick
        self.done = False
        self._settings = settings
        self._wanted = nick
        self._password = password
        self._others = self._other_nicks()
        self._offered: list[str] = []
        self._logged_in = not (password and settings.login == "sasl")

    def begin(self) -> list[Command]:
        """Give what to say first."""
        first: list[Command] = [("CAP", "LS", "302")]
        if self._password is not None and self._settings.login == "server":
            first.append(("PASS", self._password.get_secret_value()))
        return [*first, ("NICK", self.nick), ("USER", self._wanted[:9], "0", "*", self._wanted)]

    def hear(self, message: Message) -> list[Command]:
        """Give what to say to a message of the server's.

        Raises:
            ConfigError: The nick or the password can't be used here.
            ConnectionLost: The server doesn't let us in.
        """
        said = message.parameters
        if message.command == "PING":
            return [("PONG", *said[-1:])]
        if message.command == "001":
            if not self._logged_in:
                raise self._refused("has no SASL", 'set login = "nickserv" or "server" in its table')
            self.nick, self.done = said[0] if said else self.nick, True
        elif message.command in _TAKEN or (message.command == "432" and self.nick != self._wanted):
            self.nick = self._another()
            return [("NICK", self.nick)]
        elif message.command == "432":
            raise ConfigError(f'{self._server} takes no nick "{self.nick}"', remedy="set another nick in its table")
        elif message.command in ("464", "465") or message.command in _LOGIN_FAILED:
            raise self._refused(
                f"says: {said[-1] if said else message.command}", "mend password and login in its table"
            )
        elif message.command == "ERROR":
            raise ConnectionLost(f"{self._server} doesn't let us in: {said[-1] if said else 'no reason given'}")
        elif message.command == "CAP":
            return self._capabilities(said)
        elif message.command == "AUTHENTICATE":
            return list(self._credentials())
        elif message.command == "903":
            self._logged_in = True
            return [("CAP", "END")]
        return []

    def _capabilities(self, said: list[str]) -> list[Command]:
        kind = said[1].upper() if len(said) > 2 else ""
        if kind == "LS":
            self._offered += [cap.name for cap in CapList.parse(said[-1])]
            if said[2] == "*" and len(said) > 3:  # more of them come
                return []
            asked = [name for name in _WANTED if name in self._offered and (name != "sasl" or not self._logged_in)]
            return [("CAP", "REQ", " ".join(asked))] if asked else [("CAP", "END")]
        if kind == "ACK" and "sasl" in said[-1].split():
            return [("AUTHENTICATE", "PLAIN")]
        return [("CAP", "END")] if kind in ("ACK", "NAK") else []

    def _credentials(self) -> Iterator[Command]:
        if self._password is None:
            return
        account = self._settings.account or self._wanted
        told = base64.b64encode(f"\0{account}\0{self._password.get_secret_value()}".encode()).decode()
        for start in range(0, len(told), _CHUNK):
            yield "AUTHENTICATE", told[start : start + _CHUNK]
        if len(told) % _CHUNK == 0:
            yield "AUTHENTICATE", "+"

    def _another(self) -> str:
        nick = next(self._others, None)
        if nick is None:
            raise ConnectionLost(f"{self._server} has no nick for us: {_MOST_NICKS} are taken")
        return nick

    def _other_nicks(self) -> Iterator[str]:
        """Give other nicks; the later ones fit where nicks have nine characters."""
        yield f"{self._wanted}_"
        yield f"{self._wanted[:8]}_"
        for _ in range(_MOST_NICKS - 3):
            yield f"{self._wanted[:5]}_{random.randint(100, 999)}"  # noqa: S311  # no secret

    @property
    def _server(self) -> str:
        host, port = self._settings.address
        return f"{host}:{port}"

    def _refused(self, why: str, remedy: str) -> ConfigError:
        return ConfigError(f"{self._server} {why}", remedy=remedy)
