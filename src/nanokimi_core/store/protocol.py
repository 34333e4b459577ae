"""What the core asks of a store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Protocol

from nanokimi_core.store.values import (
    Arrival,
    ChatRecord,
    Claim,
    DeadLetter,
    Ending,
    Outcome,
    Owed,
    OwedRow,
    Work,
)


class Store(Protocol):
    """Keeps what must survive; entered before use.

    What returns is on disk, all of one call in one transaction. Claims are leases: they carry the store's holder (one
    for each entered store), and end when it is entered anew by a process that owns the folder alone, or when they
    were not renewed in time. Where a call says nothing else, ``chat`` is the network's own name of a chat.

    Every call can raise ``StoreError``: nothing of it has happened then.
    """

    async def __aenter__(self) -> Store:
        """Open, bring the schema up to date, and put claims of processes that are gone back into their lanes.

        Raises:
            ConfigError: It is damaged, or was written by a newer version.
        """
        ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write out what was posted, and close."""
        ...

    # ------------------------------------------------------------------ inbox
    async def accept(
        self, arrival: Arrival, claim: Claim | None = None
    ) -> tuple[Outcome, Work | None, Sequence[OwedRow]]:
        """Keep a message, unless its (transport, chat, id) is known.

        An ``edit`` replaces the text of its target, and a ``revoke`` removes it, where the target waits unclaimed or
        is unused context (an edit only by the target's own sender); else it is kept as ``arrival.role`` says.

        Args:
            arrival: The message. Its attempt and claim are counted in the same transaction where ``claim`` is given.
            claim: Take the lane's next work at once. Only to be given while nothing of the lane is claimed.

        Returns:
            What became of it; the work, where some was asked for and there is some; the outbox rows of its replies.
        """
        ...

    async def known(self, transport: str, chat: str, message: str) -> bool:
        """Whether a message with this id was accepted before."""
        ...

    async def claim(self, claim: Claim) -> Work | None:
        """Take the next work of a lane: attempts are counted, the lease begins. ``None`` where nothing waits."""
        ...

    async def finish(
        self, work: Work, ending: Ending, owed: Sequence[Owed] = (), claim: Claim | None = None
    ) -> tuple[Sequence[OwedRow], Work | None]:
        """End a work: its rows and its context are done, and what is owed is in the outbox.

        Args:
            work: As claimed.
            ending: How.
            owed: The answer.
            claim: Take more work, of this or of another lane, in the same transaction.

        Raises:
            LeaseLost: Somebody else has it now. (Also from ``retry`` and ``bury``.)
        """
        ...

    async def retry(self, work: Work, *, counted: bool, owed: Sequence[Owed] = ()) -> Sequence[OwedRow]:
        """Put a work back at the head of its lane; an attempt that isn't ``counted`` is given back.

        What was marked by ``cancel_claimed`` meanwhile ends as cancelled instead.
        """
        ...

    async def bury(self, work: Work, cause: str, owed: Sequence[Owed] = ()) -> Sequence[OwedRow]:
        """Make the rows of a work dead letters."""
        ...

    async def cancel_claimed(self, transport: str, chat: str) -> None:
        """Note that what is claimed in this lane was stopped by a person: a restart ends it instead of trying again."""
        ...

    async def cancel_waiting(self, transport: str, chat: str) -> int:
        """End what waits unclaimed in a lane, and give its count."""
        ...

    async def renew(self) -> None:
        """Lengthen the leases of everything that this holder has claimed."""
        ...

    async def lanes(self) -> Mapping[tuple[str, str], int]:
        """Count what waits unclaimed, for each (transport, chat) in which something does, the oldest first."""
        ...

    async def suspects(self, attempts: int) -> Sequence[tuple[str, str]]:
        """Name the lanes, (transport, chat), in which a message waits that was attempted so often, or more often."""
        ...

    async def turns(self, transport: str, chat: str, day: str) -> int:
        """Count the turns that a chat has had in a day."""
        ...

    # ----------------------------------------------------------------- outbox
    async def owe(self, owed: Sequence[Owed]) -> Sequence[OwedRow]:
        """Put messages into the outbox; a key that is there already is left out."""
        ...

    async def owing(self, transport: str) -> Sequence[str]:
        """Name the chats of a transport to which something is owed, the longest owed first."""
        ...

    async def owed(self, transport: str, chat: str, after: int, limit: int) -> Sequence[OwedRow]:
        """Read what is owed to a chat, in order, from behind row number ``after``. Attempts are not counted by this."""
        ...

    async def attempt(self, row: OwedRow, *, counted: bool = True) -> OwedRow:
        """Count another attempt to send a row before it starts, or only see to it that it is still owed.

        Rows from ``owe``, ``finish`` … have their first.

        Raises:
            Gone: It is owed no more: forgotten, sent or given up meanwhile. It must not be sent.
        """
        ...

    def sent(self, row: OwedRow, network_id: str | None) -> None:
        """Take a row out of the outbox; returns at once, is on disk with the next commit, is tried until it is."""
        ...

    async def give_up(self, row: OwedRow, cause: str, owed: Sequence[Owed] = ()) -> Sequence[OwedRow]:
        """Make a row a dead letter. Where it is owed no more, nothing happens, and nothing is owed instead."""
        ...

    async def withdraw(self, keys: Sequence[str]) -> None:
        """Take what has these keys out of the outbox, where it is owed yet; it becomes no dead letter."""
        ...

    async def ours(self, transport: str, chat: str, message: str) -> bool:
        """Whether a message's id is the key or the network's id of something that we sent to this chat."""
        ...

    def receipt(self, transport: str, key: str, network_id: str) -> None:
        """Note the network's id of something sent, which came later; returns at once."""
        ...

    # ------------------------------------------------------------ dead letters
    async def dead(self, *, limit: int = 100, chat: str | None = None) -> Sequence[DeadLetter]:
        """List dead letters, the latest first; ``chat`` is ``transport:chat``."""
        ...

    async def dead_letter(self, letter: str) -> DeadLetter | None:
        """Give one by its id."""
        ...

    async def revive(self, letter: str) -> DeadLetter | None:
        """Put a dead letter back where it was, its attempts forgotten; ``None`` where there is none of this id."""
        ...

    async def drop(self, letter: str) -> DeadLetter | None:
        """End a dead letter for good; ``None`` where there is none of this id."""
        ...

    # ------------------------------------------------------------------ chats
    async def see(self, chat: str, name: str, kind: str, people: Sequence[str]) -> ChatRecord:
        """Note that there is this chat (``transport:chat``); people are added to those known, up to 20."""
        ...

    async def chat(self, chat: str | int) -> ChatRecord | None:
        """Give a chat by ``transport:chat`` or by its number."""
        ...

    async def chats(self, *, limit: int = 1000) -> Sequence[ChatRecord]:
        """List chats, the latest first."""
        ...

    async def grant(self, chat: str, granted: bool | None) -> None:
        """Let a chat in, shut it out, or neither; ``transport:chat``."""
        ...

    async def grants(self) -> Mapping[str, bool]:
        """Give all that was granted or denied, by ``transport:chat``."""
        ...

    async def forget(self, chat: str) -> int:
        """Erase a chat's (``transport:chat``) rows, what waits and what is owed included; gives their count.

        What the owner granted stays. What is claimed at the moment is erased too: finishing it then does nothing.
        """
        ...

    # -------------------------------------------------------------- the rest
    def count(self, counter: str, by: int = 1) -> None:
        """Add to a counter; returns at once, is on disk with the next commit."""
        ...

    async def counters(self) -> Mapping[str, int]:
        """Give all counters, one consistent picture.

        ``received = duplicate + refused_chat + refused_sender + refused_cap + refused_own + accepted`` and
        ``accepted = context + answered + command + cancelled + edit + pending + dead``; ``pending`` and ``dead`` are
        counted from the rows, the others are kept. Of the outbox: ``owed`` (rows), ``sent``, ``undelivered`` (dead).
        ``chats`` are those that are known.
        """
        ...

    async def get(self, name: str) -> str | None:
        """Read a note of the core's own."""
        ...

    async def set(self, name: str, value: str | None) -> None:
        """Write a note of the core's own; ``None`` removes it."""
        ...

    async def tell(self, key: str, text: str) -> bool:
        """Whether something is news: it was not said under this key before, or other words were. Notes it as said."""
        ...

    async def first_in(self, key: str, seconds: float) -> bool:
        """Whether this key got no yes within so many seconds; a yes is noted, a no changes nothing."""
        ...

    async def prune(self, before: float) -> int:
        """Remove up to 1000 rows that were done before a moment (seconds since 1970), and give the count.

        Context that came before it and that nobody used goes as well.
        """
        ...

    async def vacuum(self) -> None:
        """Give free pages back to the disk, a bounded number."""
        ...
