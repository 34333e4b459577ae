"""Telling the owner: in the log always, in the owner's chat where there is one."""

from __future__ import annotations

import uuid
from logging import Logger

from nanokimi_core.delivery import Delivery


class Owner:
    """Says things to the owner, each once until it changes.

    Args:
        chat: The owner's chat, ``transport:chat``, or ``None``.
        delivery: Who sends there.
        log: Where everything is written too.
    """

    def __init__(self, chat: str | None, delivery: Delivery, log: Logger) -> None:
        self._chat = chat
        self._delivery = delivery
        self._log = log
        self._said: dict[str, str] = {}

    async def tell(self, key: str, text: str) -> None:
        """Say something, once for each ``key`` until ``text`` changes; the log gets it every time."""
        self._log.warning("%s", text)
        if self._said.get(key) == text:
            return
        self._said[key] = text
        if self._chat is None:
            return
        transport, _, chat = self._chat.partition(":")
        if self._delivery.transport(transport) is not None:
            await self._delivery.send(transport, chat, text, key=uuid.uuid4().hex)
