"""What the rig of a transport may be able to do, each a protocol of its own; checks that need it apply then.

``write`` and ``shown`` are all that a rig must have. All of these act on the network, never on the transport: a rig
stands on the network's side.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Protocol, runtime_checkable


@runtime_checkable
class SeesAcknowledgements(Protocol):
    """A network that is told which messages have arrived, and brings the others again."""

    async def acknowledged(self) -> Collection[str]:
        """Give the texts of the messages that the transport has acknowledged."""
        ...


@runtime_checkable
class BringsAgain(Protocol):
    """A network that can bring a message more than once."""

    async def bring_again(self) -> None:
        """Bring the message that was written last once more, as after an acknowledgement that got lost."""
        ...


@runtime_checkable
class CutsLines(Protocol):
    """A network whose connection can break."""

    async def cut(self) -> None:
        """Break the transport's connection without a word; a new one is accepted."""
        ...


@runtime_checkable
class RefusesLines(Protocol):
    """A network that may not be reachable."""

    async def refuse_lines(self) -> None:
        """Refuse every connection from now on: nobody listens there any more."""
        ...


@runtime_checkable
class FallsSilent(Protocol):
    """A network that can hang."""

    async def fall_silent(self) -> None:
        """Accept connections from now on, and say nothing on them."""
        ...


@runtime_checkable
class Throttles(Protocol):
    """A network that can be too busy for a message."""

    async def throttle_next(self) -> timedelta | None:
        """Refuse the next message for now, without showing it; give how long the network says to wait, if it does."""
        ...


@runtime_checkable
class Forbids(Protocol):
    """A network that can refuse a message for good: this person has blocked us, it is too large."""

    async def forbid_next(self) -> None:
        """Refuse the next message for good, without showing it."""
        ...


@runtime_checkable
class LosesAnswers(Protocol):
    """A network that confirms each message, and whose connection can break before it does."""

    async def lose_next(self) -> None:
        """Show the next message, and break the connection instead of confirming it; a new one is accepted."""
        ...


@runtime_checkable
class BringsFiles(Protocol):
    """A network in which people send files."""

    async def write_file(self, name: str, data: bytes, text: str) -> None:
        """Let somebody send a file in ``chat``, with a text. The name may be a hostile one: pass it on as it is."""
        ...


@runtime_checkable
class ShowsFiles(Protocol):
    """A network that takes files."""

    async def shown_files(self, chat: str) -> Sequence[tuple[str, bytes]]:
        """Give the files that the assistant has sent to a chat, in order: name and content."""
        ...


@runtime_checkable
class SeesTyping(Protocol):
    """A network that shows who is writing."""

    async def typing_shown(self, chat: str) -> bool:
        """Say whether people see at the moment that the assistant is writing."""
        ...


@runtime_checkable
class ChangesMessages(Protocol):
    """A network in which people can change what they have written."""

    async def edit(self, text: str) -> None:
        """Let the person change the message that was written last."""
        ...


@runtime_checkable
class RevokesMessages(Protocol):
    """A network in which people can take back what they have written."""

    async def revoke(self) -> None:
        """Let the person take back the message that was written last."""
        ...


@runtime_checkable
class BringsReactions(Protocol):
    """A network in which people can put a sign to a message."""

    async def react(self, sign: str) -> None:
        """Let somebody react to the message that was written last."""
        ...


@runtime_checkable
class Mentions(Protocol):
    """A network in which people can call somebody by name in a group."""

    async def mention(self, text: str) -> None:
        """Let somebody write a text that mentions the assistant, in the network's own way."""
        ...


@runtime_checkable
class HasThreads(Protocol):
    """A network whose chats have threads."""

    async def write_in_thread(self, thread: str, text: str) -> None:
        """Let somebody write in a thread of ``chat``; the same name always means the same thread."""
        ...

    async def shown_in_thread(self, thread: str) -> Sequence[str]:
        """Give what people see of the assistant in a thread of ``chat``, in order."""
        ...


@runtime_checkable
class WritesAsAssistant(Protocol):
    """A network that brings an account what was sent from it, from here or from another device."""

    async def write_from_me(self, text: str) -> None:
        """Write in ``chat`` from the assistant's own account, on another device."""
        ...


@runtime_checkable
class WritesToSelf(Protocol):
    """A network in which the account that the transport uses is a person's own, with a chat with themselves."""

    async def write_to_self(self, text: str) -> None:
        """Let that person write in their chat with themselves, on another device."""
        ...


@runtime_checkable
class WritesGarbage(Protocol):
    """A rig that can put anything at all on the wire."""

    async def garbage(self, data: bytes) -> None:
        """Send the transport these bytes where a message would stand, framed as a message where the network frames."""
        ...
