"""Transports: a chat network on one side, the core's inbox on the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from nanokimi_core.messages import Inbound, Outbound, Receipt


class Inbox(Protocol):
    """Where a transport puts what its network brings."""

    def ready(self) -> None:
        """Say that the network is connected: what is owed goes out now."""
        ...

    def away(self) -> None:
        """Say that the network is gone for now, and ``run`` is at getting it back: nothing is sent until ``ready``."""
        ...

    async def deliver(self, message: Inbound) -> None:
        """Hand over a message; returns when it is on disk, or was refused and counted.

        Acknowledge the message to the network after that, never before.

        Raises:
            NotAccepted: It could not be kept: the disk is full, or this inbox belongs to a run that is over. Let it
                out of ``run``; the network will bring the message again.
        """
        ...

    def sent(self, key: str, network_id: str) -> None:
        """Report a receipt that came after ``send`` had returned."""
        ...

    def typing(self, chat: str) -> None:
        """Report that the other side is writing."""
        ...


@dataclass(frozen=True)
class Traits:
    """What a network can take.

    Attributes:
        max_text: The longest message, in what ``measure`` counts.
        markup: What the text of an ``Outbound`` is written in.
        per_minute: Sends a minute, all chats together; ``None`` is as fast as it goes.
        concurrent_sends: ``False``: ``send`` is never called twice at once on one instance.
        draft_interval: Seconds between two drafts of one answer, where the transport shows drafts.
        per_minute_chat: Sends a minute to one chat; ``None`` is as fast as it goes.
        quotes: In which chats an answer names, in ``reply_to``, the message that it answers.
        measure: What ``max_text`` counts: characters, or bytes of UTF-8.
        lines: Whether a message can have many lines. Where it can't, each line of an answer is a message of its own.
        burst: Sends that may go at once before a pace applies, after a silence that made up for them.
        burst_chat: As ``burst``, for one chat; ``None``: the same as ``burst``.
    """

    max_text: int = 4000
    markup: Literal["plain", "markdown", "whatsapp"] = "plain"
    per_minute: float | None = None
    concurrent_sends: bool = False
    draft_interval: float = 1.0
    per_minute_chat: float | None = None
    quotes: Literal["never", "group", "always"] = "group"
    measure: Literal["characters", "bytes"] = "characters"
    lines: Literal["many", "one"] = "many"
    burst: int = 1
    burst_chat: int | None = None


class Transport(Protocol):
    """A chat network."""

    async def run(self, inbox: Inbox) -> None:
        """Receive until cancelled. Raising means being started again after a back-off; returning means the end.

        Raises:
            NetworkAway: The network can't be reached. No fault of the plugin's: logged without a traceback.
            ConfigError: The network refuses what the toml says. The owner hears it as it stands.
            Exception: Anything else is a fault of the plugin's, and named as one.
        """
        ...

    async def send(self, message: Outbound) -> Receipt | None:
        """Send; returning means that the network has accepted the message.

        Raises:
            NotSent: Certainly not sent; it is tried again.
            Undeliverable: It will never be accepted.
            Exception: Anything else: unknown whether it was sent. It is tried again with the same key.
        """
        ...


@runtime_checkable
class HasTraits(Protocol):
    """A transport that says what its network can take."""

    traits: Traits


@runtime_checkable
class ShowsTyping(Protocol):
    """A transport that can show that the assistant is writing."""

    async def typing(self, chat: str, on: bool) -> None:
        """Show it, or stop showing it."""
        ...


@runtime_checkable
class EditsDrafts(Protocol):
    """A transport that can show an answer while it grows."""

    async def draft(self, message: Outbound) -> None:
        """Show the text so far, under the key of the coming ``send``; best effort."""
        ...


@runtime_checkable
class ListsMembers(Protocol):
    """A transport that knows who is in a group; the owner is told when an unknown group writes."""

    async def members(self, chat: str) -> Sequence[str]:
        """Name the people in a chat."""
        ...


@runtime_checkable
class KnowsOwner(Protocol):
    """A transport that knows its account's owner, where the account is a person's own."""

    def owner_chat(self) -> str | None:
        """Name the owner's chat with themselves; ``None`` where the account is nobody's own, or it isn't known (yet).

        Where the toml names no owner and nobody has claimed to be it, that chat is the owner's. It is asked for each
        message, also before ``run``, so it must be at hand.
        """
        ...


@runtime_checkable
class TellsState(Protocol):
    """A transport that can say more of its connection than whether there is one."""

    def state(self) -> str:
        """Say how the connection stands, in a few words for the owner: ``waits to be linked: run nanokimi …``.

        One line of at most 200 characters; empty where there is no more to say than connected or not. It is asked also
        before ``run``, so it must be at hand.
        """
        ...
