"""Who we are on the network, and how messages are named to the core."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nanokimi_transport_whatsapp.names import bare
from nanokimi_transport_whatsapp.values import Who


@dataclass(frozen=True)
class Account:
    """The linked account.

    Attributes:
        name: The canonical one, by which the core knows it: the hidden id, where it is known.
        names: All of them.
        number: Whose it is: the owner's own, or the assistant's.
        has_self_chat: Whether the assistant listens in the account's chat with itself.
    """

    name: str
    names: frozenset[str]
    number: Literal["own", "bot"]
    has_self_chat: bool

    def is_me(self, name: str) -> bool:
        """Whether this is one of the account's names, with or without a device."""
        return bare(name) in self.names


def account_of(me: Who, number: Literal["own", "bot"], self_chat: bool | None) -> Account:
    """Make the account of what the network and the settings say of it.

    Args:
        me: Its names.
        number: Whose it is.
        self_chat: The setting; unless told, only an own number has that chat.
    """
    names = [name for name in (bare(me.id), bare(me.alias)) if name]
    name = next((each for each in names if each.endswith("@lid")), names[0] if names else "")
    return Account(name, frozenset(names), number, number == "own" if self_chat is None else self_chat)


def message_id(network_id: str, sender: str) -> str:
    """Name a message within its chat: WhatsApp's ids are unique for each sender only.

    Args:
        network_id: WhatsApp's.
        sender: By the canonical name.
    """
    return f"{network_id}/{sender}"


def parts_of_id(message: str) -> tuple[str, str]:
    """Give the network's id and the sender of what ``message_id`` has made."""
    network_id, slash, sender = message.rpartition("/")
    return (network_id, sender) if slash else (message, "")
