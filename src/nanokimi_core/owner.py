"""Telling the owner: in the log always, in the owner's chat where there is one."""

from __future__ import annotations

import uuid
from logging import Logger

import anyio

from nanokimi_core.delivery import Delivery
from nanokimi_core.logs import redact

_MOST_WAITING = 100


class Owner:
    """Says things to the owner, each once until it changes.

    Saying doesn't wait for the owner's network: ``run`` sees to that.

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
        self._waiting: list[str] = []
        self._news = anyio.Event()

    async def tell(self, key: str, text: str) -> None:
        """Say something, once for each ``key`` until ``text`` changes; the log gets it every time."""
        text = redact(text)
        self._log.warning("%s", text)
        if self._said.get(key) == text:
            return
        self._said[key] = text
        if self._chat is not None and len(self._waiting) < _MOST_WAITING:
            self._waiting.append(text)
            self._news.set()

    async def run(self) -> None:
        """Send what is to be said, until cancelled."""
        transport, _, chat = (self._chat or "").partition(":")
        while True:
            while self._waiting and self._delivery.transport(transport) is not None:
                await self._delivery.send(transport, chat, self._waiting.pop(0), key=uuid.uuid4().hex)
            await self._news.wait()
            self._news = anyio.Event()
