"""Telling the owner: in the log always, in the owner's chat where there is one."""

from __future__ import annotations

import uuid
from collections import OrderedDict
from collections.abc import Callable
from logging import INFO, WARNING, Logger

from nanokimi_core.config import Settings
from nanokimi_core.config.model import Language
from nanokimi_core.conversation.catalogue import Phrase, phrase
from nanokimi_core.delivery import Delivery
from nanokimi_core.messages import Outbound
from nanokimi_core.places import unplaced
from nanokimi_core.store import Store, StoreError

_LONGEST_SEND = 30.0
_MOST_LOGGED = 256
_MOST_EARLY = 20


class Owner:
    """Says things to the owner, each once until it changes, also across restarts.

    Saying doesn't wait for the owner's network: it is put into the outbox.

    Args:
        settings: Live; of the language.
        chat: Gives the owner's chat, ``transport:chat``, or ``None``.
        store: Remembers what was said.
        delivery: Who sends there.
        log: Where everything is written too.
    """

    def __init__(
        self,
        settings: Callable[[], Settings],
        chat: Callable[[], str | None],
        store: Store,
        delivery: Delivery,
        log: Logger,
    ) -> None:
        self._settings = settings
        self._chat = chat
        self._store = store
        self._delivery = delivery
        self._log = log
        self._logged: OrderedDict[str, str] = OrderedDict()
        self._early: dict[str, Phrase] | None = {}

    @property
    def chat(self) -> str | None:
        """The owner's chat, ``transport:chat``, if there is an owner."""
        return self._chat()

    def note(self, text: Phrase) -> None:
        """Say something in the log only."""
        self._log.warning("%s", text)

    @property
    def language(self) -> Language:
        """The language of the owner's chat."""
        chat = self._chat()
        return self._settings().rules((chat,)).language if chat else self._settings().language

    def language_of(self, chat: str) -> Language:
        """Give the language of a chat, ``transport:chat``."""
        return self._settings().rules((chat,)).language

    async def plugin_says(self, key: str, text: str) -> None:
        """Pass on what a plugin has for the owner; it begins with the instance's name already."""
        plugin, _, said = text.partition(": ")
        await self.tell(key, phrase(self.language, "owner_plugin_says", plugin=plugin, text=said or text))

    async def tell_past_the_outbox(self, text: Phrase) -> None:
        """Say something once, straight to the owner's network: for when nothing can be written."""
        transport, _, name = (self._chat() or "").partition(":")
        route = self._delivery.route(transport)
        if route is None or not route.connected:
            return
        message = Outbound(f"owner-{uuid.uuid4().hex}", name, text)
        try:
            await route.send(message, within=_LONGEST_SEND)
        except Exception as error:  # noqa: BLE001  # a plugin boundary
            self._log.warning("%s could not tell the owner: %s", route.name, error)

    async def tell(self, key: str, text: Phrase) -> None:
        """Say something, once for each ``key`` until ``text`` changes.

        The log gets it every time, with its places; what was said before and hasn't changed, as INFO.
        """
        self._log.log(INFO if self._logged.get(key) == text else WARNING, "%s", text)
        self._logged[key] = text
        self._logged.move_to_end(key)
        if len(self._logged) > _MOST_LOGGED:
            self._logged.popitem(last=False)
        if (chat := self._chat()) is not None:
            await self._tell_once(chat, key, text)
        elif self._early is not None and len(self._early) < _MOST_EARLY:
            self._early[key] = text

    async def catch_up(self) -> None:
        """Say what was said before the transports were made, where one of them knows the owner."""
        early, self._early = self._early or {}, None
        if (chat := self._chat()) is not None:
            for key, text in early.items():
                await self._tell_once(chat, key, text)

    async def _tell_once(self, chat: str, key: str, text: Phrase) -> None:
        transport, _, name = chat.partition(":")
        try:
            if await self._store.tell(f"{chat} {key}", text):
                said, owed_key = unplaced(text), f"owner-{uuid.uuid4().hex}"
                owed = self._delivery.prepare(transport, name, said, key=owed_key, notice=True)
                self._delivery.take(await self._store.owe(owed))
        except StoreError as error:
            self._log.error("the owner can't be told in %s: %s", chat, error)

    async def tell_in(self, chat: str, text: Phrase, *, key: str = "") -> None:
        """Say something in a chat where the owner gives orders, also if it was said before. The log doesn't get it.

        Args:
            chat: ``transport:chat``.
            text: What.
            key: Of the message, should it have to be withdrawn.
        """
        transport, _, name = chat.partition(":")
        owed = self._delivery.prepare(transport, name, text, key=key or f"owner-{uuid.uuid4().hex}", notice=True)
        try:
            self._delivery.take(await self._store.owe(owed))
        except StoreError as error:
            self._log.error("the owner can't be told in %s: %s", chat, error)
