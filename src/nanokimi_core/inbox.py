"""What a transport gets for one run: where it puts what its network brings."""

from __future__ import annotations

from logging import getLogger

import anyio

from nanokimi_core.conversation.conversation import Conversation
from nanokimi_core.delivery import Route
from nanokimi_core.errors import NotAccepted
from nanokimi_core.messages import Inbound
from nanokimi_core.store import Store, StoreError

log = getLogger("nanokimi")


class TransportInbox:
    """The ``Inbox`` of one run of a transport; a run that is over can't deliver any more.

    Args:
        route: Its way out, with the instance's name.
        conversation: Who takes messages.
        store: Who takes receipts.
        stopping: Set when no more messages are taken.
    """

    def __init__(self, route: Route, conversation: Conversation, store: Store, stopping: anyio.Event) -> None:
        self.name = route.name
        self._route = route
        self._router = conversation.router
        self._health = conversation.health
        self._store = store
        self._stopping = stopping
        self._over = False

    def end(self) -> None:
        """Take nothing more: the run is over."""
        self._over = True

    def ready(self) -> None:
        """Open the way out."""
        if not self._over:
            log.info("%s is connected", self.name)
            self._route.open()

    def away(self) -> None:
        """Close the way out until the network is connected again."""
        if not self._over:
            log.info("%s is not connected", self.name)
            self._route.away()

    async def deliver(self, message: Inbound) -> None:
        """Take a message; returns when it is kept, or was refused. While the assistant stops, it doesn't return.

        What has begun is carried to its end also where the caller is cancelled, as it is when its line is cut.

        Raises:
            NotAccepted: It could not be kept.
            TypeError: It is no message.
        """
        if self._over:
            raise NotAccepted(
                f"{self.name} delivers into an inbox of an earlier run", remedy="it must use the last one"
            )
        if self._stopping.is_set():
            await anyio.sleep_forever()  # the transport is about to be cancelled, and must not acknowledge this
        try:
            with anyio.CancelScope(shield=True):  # else a message could be on disk that no lane knows of
                await self._router.receive(self.name, message)
        except StoreError as error:
            self._health.failed(error)
            said = f"a message that {self.name} brings can't be kept: {error.message}"
            raise NotAccepted(said, remedy=error.remedy) from error
        self._health.works()

    def sent(self, key: str, network_id: str) -> None:
        """Note a receipt that came later."""
        self._store.receipt(self.name, str(key), str(network_id))

    def typing(self, chat: str) -> None:
        """Note that the other side is writing."""
        log.debug("%s: somebody writes in %s", self.name, chat)
