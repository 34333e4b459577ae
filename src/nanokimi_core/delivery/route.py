"""A transport as delivery sees it: what its network can take, whether it is connected, how fast it goes."""

from __future__ import annotations

from collections import OrderedDict, deque
from functools import partial
from logging import Logger
from typing import Any

import anyio

from nanokimi_core.contracts.transport import (
    EditsDrafts,
    HasTraits,
    ListsMembers,
    ShowsTyping,
    Traits,
    Transport,
)
from nanokimi_core.messages import ChatKind, Inbound, Outbound, Receipt
from nanokimi_core.plugins import Plugin
from nanokimi_core.supervision import guarded, wrong_return

_PATIENCE = 30.0
_LONGEST_LOOK = 5.0
_MOST_PACED = 10_000
_MOST_MEMBERS = 20
_ECHOES = 30.0
_MOST_NAMELESS = 200
_MOST_DRAFTED = 200
_LATEST_DRAFTS = 30


def traits_of(transport: object) -> Traits:
    """Give what a transport says of its network, or the defaults."""
    found = transport.traits if isinstance(transport, HasTraits) else None
    return found if isinstance(found, Traits) else Traits()


class Route:
    """One transport instance, for sending.

    It is closed until the transport says that it is ready, and again when its ``run`` fails. A transport that never
    says so is taken to be ready after half a minute.

    Args:
        name: The instance's name.
        transport: The plugin's object.
        plugin: Where the transport comes from, for errors.
        log: For what is odd.
    """

    def __init__(self, name: str, transport: Transport, plugin: Plugin | str, log: Logger) -> None:
        self.name = name
        self.plugin = plugin
        self.use(transport)
        self.loaded = False
        self._in_flight: dict[str, tuple[str, str]] = {}
        self._echoed: set[str] = set()
        self._nameless: OrderedDict[str, tuple[str, str, float]] = OrderedDict()
        self._drafted: OrderedDict[str, tuple[str, deque[str], float]] = OrderedDict()
        self._log = log
        self._open = anyio.Event()
        self._again = anyio.Event()
        self._one_at_a_time = anyio.Lock(fast_acquire=True)
        self._next = 0.0
        self._next_in: OrderedDict[str, float] = OrderedDict()

    def use(self, transport: Transport) -> None:
        """Send through this object from now on."""
        self.transport = transport
        self._away = False
        self.traits = traits_of(transport)
        self.shows_typing = isinstance(transport, ShowsTyping)
        self.edits_drafts = isinstance(transport, EditsDrafts)

    @property
    def connected(self) -> bool:
        """Whether the network is connected."""
        return self._open.is_set()

    def open(self) -> None:
        """Note that the network is connected; what waits to be tried again is tried now."""
        self._away = False
        self._open.set()
        self._again.set()
        self._again = anyio.Event()

    def close(self) -> None:
        """Note that the network isn't connected any more."""
        if self._open.is_set():
            self._open = anyio.Event()

    def away(self) -> None:
        """Note that the network is away for as long as the transport says nothing else."""
        self._away = True
        self.close()

    async def until_open(self) -> None:
        """Wait until the network is connected."""
        if not self._open.is_set():
            await self._open.wait()

    async def open_anyway(self, while_it_runs: anyio.CancelScope) -> None:
        """Open after half a minute without a word; to be cancelled when the transport's run is over."""
        with while_it_runs:
            await anyio.sleep(_PATIENCE)
            if not (self._open.is_set() or self._away):
                self._log.warning("%s hasn't called ready() for %g s; sending starts anyway", self.name, _PATIENCE)
                self.open()

    async def rest(self, seconds: float) -> None:
        """Wait before another attempt; shorter where the network gets connected meanwhile."""
        again = self._again
        with anyio.move_on_after(seconds):
            await again.wait()

    async def send(self, message: Outbound, *, within: float) -> str | None:
        """Send once, at the network's pace; gives the network's id.

        Raises:
            NotSent: As the transport raised it.
            Undeliverable: As the transport raised it.
            Exception: The outcome is unknown.
        """
        await self._pace(message.chat)
        if self.traits.concurrent_sends:
            return await self._send(message, within)
        async with self._one_at_a_time:
            return await self._send(message, within)

    async def _send(self, message: Outbound, within: float) -> str | None:
        await self.until_open()  # it may have been closed while this waited for its turn
        self._in_flight[message.key] = (message.chat, message.text)
        try:
            receipt: Any = await guarded(
                partial(self.transport.send, message),
                plugin=self.plugin,
                doing=f"to send to {message.chat}",
                within=within,
            )
        finally:
            del self._in_flight[message.key]
            echoed = message.key in self._echoed
            self._echoed.discard(message.key)
        if receipt is not None and not isinstance(receipt, Receipt):
            doing = f"to send to {message.chat}"
            self._log.warning("%s", wrong_return(self.plugin, doing, self.transport.send, receipt, "Receipt or None"))
        if self._drafted:
            self._drafted.pop(message.key, None)
        network_id = receipt.network_id if isinstance(receipt, Receipt) else None
        if network_id is None and not echoed:
            self._nameless[message.key] = (message.chat, message.text, anyio.current_time() + _ECHOES)
            if len(self._nameless) > _MOST_NAMELESS:
                self._nameless.popitem(last=False)
        return network_id

    def is_echo(self, chat: str, text: str) -> bool:
        """Whether this very text is on its way to a chat, or was sent a moment ago and its network's id isn't known.

        An echo can come before the receipt. Of what was sent, one echo is expected.
        """
        for key, sending in self._in_flight.items():
            if sending == (chat, text):
                self._echoed.add(key)
                return True
        now = anyio.current_time()
        for key, (to, said, until) in self._nameless.items():
            if (to, said) == (chat, text) and now < until:
                del self._nameless[key]
                return True
        return False

    async def draft(self, message: Outbound, *, within: float) -> None:
        """Show the answer so far, on a transport that can. What comes back of it is known as ours until it is sent.

        Raises:
            Exception: It isn't shown.
        """
        _, texts, _ = self._drafted.pop(message.key, ("", deque[str](maxlen=_LATEST_DRAFTS), 0.0))
        texts.append(message.text)
        self._drafted[message.key] = (message.chat, texts, anyio.current_time() + _ECHOES)
        if len(self._drafted) > _MOST_DRAFTED:
            self._drafted.popitem(last=False)
        transport: Any = self.transport
        await guarded(lambda: transport.draft(message), plugin=self.plugin, doing="to show a draft", within=within)

    def is_draft(self, message: Inbound) -> bool:
        """Whether this is the draft of an answer that isn't sent yet, which the network brings back."""
        now = anyio.current_time()
        for key, (chat, texts, until) in self._drafted.items():
            if chat == message.chat and now < until and (key in (message.id, message.target) or message.text in texts):
                return True
        return False

    async def _pace(self, chat: str) -> None:
        """Wait for the chat's turn, then for the network's: a chat that waits for its own takes nobody's else."""
        burst, burst_chat = self.traits.burst, self.traits.burst_chat
        if self.traits.per_minute_chat:
            interval = 60 / self.traits.per_minute_chat
            ahead = max(burst if burst_chat is None else burst_chat, 1) - 1
            await anyio.sleep_until(self._next_in.get(chat, 0.0) - ahead * interval)
        if self.traits.per_minute:
            between = 60 / self.traits.per_minute
            ahead = max(burst, 1) - 1
            start = max(self._next - ahead * between, anyio.current_time())
            self._next = max(self._next, start) + between
            await anyio.sleep_until(start)
        if self.traits.per_minute_chat:
            self._next_in[chat] = max(self._next_in.get(chat, 0.0), anyio.current_time()) + interval
            self._next_in.move_to_end(chat)
            if len(self._next_in) > _MOST_PACED:
                self._next_in.popitem(last=False)

    async def members(self, chat: str) -> tuple[str, ...]:
        """Name the people in a chat, where the transport knows; what goes wrong is only logged."""
        transport = self.transport
        if not isinstance(transport, ListsMembers):
            return ()
        try:
            found: Any = await guarded(
                lambda: transport.members(chat), plugin=self.plugin, doing="to list members", within=_LONGEST_LOOK
            )
            return tuple(str(name) for name in found)[:_MOST_MEMBERS]
        except Exception as error:  # noqa: BLE001  # a plugin boundary
            self._log.warning("%s could not list the members of %s: %s", self.name, chat, error)
            return ()

    def quotes(self, kind: ChatKind) -> bool:
        """Whether an answer in such a chat names the message that it answers."""
        return self.traits.quotes == "always" or (self.traits.quotes == "group" and kind == "group")
