"""An errbot backend without a network: what is sent goes to ``Network.deliver``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from errbot.backends.base import Person  # type: ignore[import-not-found]
from errbot.core import ErrBot  # type: ignore[import-not-found]


class Somebody(Person):  # type: ignore[misc]
    """A person, known by one word."""

    def __init__(self, word: str) -> None:
        self.word = word

    @property
    def person(self) -> str:
        return self.word

    client = nick = fullname = email = aclattr = person

    def __str__(self) -> str:
        return self.word

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Somebody) and self.word == other.word

    def __hash__(self) -> int:
        return hash(self.word)


class Network(ErrBot):  # type: ignore[misc]
    """The whole bot, as errbot wants its backends to be."""

    mode = "network"
    rooms: ClassVar[list[Any]] = []
    deliver: ClassVar[Callable[[str], None]]

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.bot_identifier = Somebody("robot")

    def send_message(self, msg: Any) -> None:
        super().send_message(msg)
        Network.deliver(msg.body)

    def build_identifier(self, text_representation: str) -> Somebody:
        return Somebody(text_representation)

    def build_reply(self, msg: Any, text: str | None = None, private: bool = False, threaded: bool = False) -> Any:
        reply = self.build_message(text)
        reply.frm, reply.to = self.bot_identifier, msg.frm
        return reply

    def is_from_self(self, msg: Any) -> bool:
        return False

    def change_presence(self, status: str = "", message: str = "") -> None:
        """Nobody looks."""

    def prefix_groupchat_reply(self, message: Any, identifier: Any) -> None:
        """There are no groups."""

    def query_room(self, room: str) -> None:
        """There are no rooms."""

    def serve_once(self) -> bool:
        return True
