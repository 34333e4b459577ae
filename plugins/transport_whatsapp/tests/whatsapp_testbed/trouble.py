"""What can go wrong at WhatsApp, for tests to bring about: ``server.trouble``."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import anyio

from whatsapp_testbed.connection import Connection
from whatsapp_testbed.hub import Hub
from whatsapp_testbed.stanzas import Attribute, Node

if TYPE_CHECKING:
    from whatsapp_testbed.users import User


class Trouble:
    """Brings trouble, from any thread. ``device`` is the number of one of a user's devices; without, all of them."""

    def __init__(self, hub: Hub, call: Callable[[Callable[[], None]], None]) -> None:
        self._hub = hub
        self._call = call

    # connections

    def cut(self, user: User, *, device: int = 0) -> None:
        """End the TCP connections of a user's devices without a word."""
        self._each(user, device, Connection.abort)

    def cut_all(self) -> None:
        """End every connection without a word, also of clients that show codes."""

        def cut() -> None:
            for connection in list(self._hub.everyone):
                connection.abort()

        self._call(cut)

    def down(self) -> None:
        """End every connection, and close new ones as soon as they are made, until ``up``."""
        self._hub.troubles.down = True
        self.cut_all()

    def silent(self) -> None:
        """Accept, read and say nothing, on new connections and old ones, until ``up``: a black hole."""

        def fall_silent() -> None:
            self._hub.troubles.speaking = anyio.Event()

        self._call(fall_silent)

    def up(self) -> None:
        """End ``down`` and ``silent``."""
        self._hub.troubles.down = False
        self._call(self._hub.troubles.speaking.set)

    # logins

    def reject_login(self, reason: int, **more: Attribute) -> None:
        """Answer every login with a failure: 401, 402 (``code=104, expire=3600``), 403, 405, 406, 400, 503 …"""
        attributes: dict[str, Attribute | None] = {"reason": reason, "location": "testbed", **more}
        self._hub.troubles.reject_login = Node("failure", attributes)

    def accept_login(self) -> None:
        """End ``reject_login``."""
        self._hub.troubles.reject_login = None

    def stream_error(self, user: User, code: int | None = None, *, conflict: str = "", device: int = 0) -> None:
        """End the connections with a stream error: a code such as 503, or a conflict such as ``replaced``."""
        parts = [Node("conflict", {"type": conflict})] if conflict else []
        self._each(user, device, lambda it: it.refuse(Node("stream:error", {"code": code}, parts or None)))

    def restart_at_once(self, on: bool = True) -> None:
        """After pairing, close together with the word "restart" (515), which clients then may miss."""
        self._hub.troubles.restart_at_once = on

    def qr_codes(self, count: int) -> None:
        """Give clients this many codes to show, 6 otherwise: the first of six lives 60 s, every other 20 s."""
        self._hub.troubles.qr_refs = count

    # messages

    def hold_acks(self, user: User) -> None:
        """Pass the user's messages on, but acknowledge them only at ``let_go``."""
        self._hub.troubles.hold_acks.add(user.number)

    def lose_messages(self, user: User) -> None:
        """Neither pass the user's messages on nor acknowledge them, until ``let_go``."""
        self._hub.troubles.lose_messages.add(user.number)

    def refuse_next(self, user: User, code: int, *, times: int = 1) -> None:
        """Refuse the user's next messages with an error: 463, 479, 429 …"""
        self._call(lambda: self._hub.troubles.refusals.setdefault(user.number, deque()).extend([code] * times))

    def hold_offline(self) -> None:
        """Give logins none of what came while they were away, until ``let_go``."""
        self._hub.troubles.hold_offline = True

    def deliver_twice(self, user: User) -> None:
        """Send each message for the user's devices twice, until ``let_go``."""
        self._hub.troubles.twice.add(user.number)

    def bring_again(self, user: User) -> None:
        """Send the latest message for the user's devices once more, as after an acknowledgement that got lost."""

        def act() -> None:
            for account in filter(None, [self._hub.directory.accounts.get(user.number)]):
                for device in account.devices.values():
                    if (node := self._hub.latest.get(device.jid)) is not None:
                        self._hub.deliver(device, node)

        self._call(act)

    def let_go(self) -> None:
        """End what this section can bring, and send what was held back."""
        self._call(self._let_go)

    def _let_go(self) -> None:
        troubles = self._hub.troubles
        troubles.hold_acks.clear()
        troubles.lose_messages.clear()
        troubles.refusals.clear()
        troubles.twice.clear()
        troubles.hold_offline = False
        while troubles.held:
            troubles.held.popleft()()
        for connection in list(self._hub.connections.values()):
            if connection.asks_backlog:
                connection.flush()

    def _each(self, user: User, device: int, what: Callable[[Connection], None]) -> None:
        def act() -> None:
            for connection in list(_connections(self._hub, user.number, device)):
                what(connection)

        self._call(act)


def _connections(hub: Hub, number: str, device: int) -> Iterator[Connection]:
    for jid, connection in hub.connections.items():
        if jid.user == number and device in {0, jid.device}:
            yield connection
