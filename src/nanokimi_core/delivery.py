"""From an answer to the network: split, sent in order, tried again."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import timedelta
from logging import Logger

import anyio

from nanokimi_core.contracts.transport import HasTraits, Traits, Transport
from nanokimi_core.errors import NotSent, Undeliverable
from nanokimi_core.messages import Outbound

_ATTEMPTS = 6
_FIRST_WAIT = 0.5
_LONGEST_WAIT = 30.0


def traits_of(transport: object) -> Traits:
    """Give what a transport says of its network, or the defaults."""
    return transport.traits if isinstance(transport, HasTraits) else Traits()


def split(text: str, limit: int) -> list[str]:
    """Cut a text into pieces of at most ``limit`` characters: between paragraphs, lines or words where it can."""
    pieces = []
    rest = text.strip()
    while len(rest) > limit:
        cut = next((at for mark in ("\n\n", "\n", " ") if (at := rest.rfind(mark, 1, limit + 1)) > limit // 2), limit)
        pieces.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    return [*pieces, rest] if rest else pieces


@dataclass
class _Route:
    name: str
    transport: Transport
    one_at_a_time: anyio.Lock = field(default_factory=anyio.Lock)


class Delivery:
    """Sends what is owed to chats, each part under a key that stays the same on every attempt.

    Args:
        log: Gets what could not be sent.
    """

    def __init__(self, log: Logger) -> None:
        self._log = log
        self._routes: dict[str, _Route] = {}

    def add(self, name: str, transport: Transport) -> None:
        """Make a transport known under its instance's name; once is enough."""
        self._routes.setdefault(name, _Route(name, transport))

    def transport(self, name: str) -> Transport | None:
        """Give the transport of that name."""
        route = self._routes.get(name)
        return route.transport if route else None

    async def send(
        self, transport: str, chat: str, text: str, *, key: str, thread: str | None = None, reply_to: str | None = None
    ) -> bool:
        """Send a text, in as many parts as it takes; whether all of it was accepted."""
        route = self._routes[transport]
        parts = split(text, traits_of(route.transport).max_text)
        for number, part in enumerate(parts):
            first = reply_to if number == 0 else None
            message = Outbound(key=f"{key}.{number}", chat=chat, text=part, thread=thread, reply_to=first)
            if not await self._send_part(route, message):
                return False
        return True

    async def _send_part(self, route: _Route, message: Outbound) -> bool:
        wait = _FIRST_WAIT
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                await self._once(route, message)
            except Undeliverable as error:
                self._log.error("%s refused an answer for %s for good: %s", route.name, message.chat, error)
                return False
            except (Exception, SystemExit) as error:  # noqa: BLE001  # a plugin boundary
                self._log.warning(
                    "%s could not send to %s (attempt %d of %d): %s: %s",
                    *(route.name, message.chat, attempt, _ATTEMPTS, type(error).__name__, error),
                )
                asked = error.retry_after if isinstance(error, NotSent) else None
                await anyio.sleep(_jittered(wait, asked) if attempt < _ATTEMPTS else 0)
                wait = min(wait * 2, _LONGEST_WAIT)
            else:
                return True
        self._log.error("an answer for %s was given up after %d attempts", message.chat, _ATTEMPTS)
        return False

    async def _once(self, route: _Route, message: Outbound) -> None:
        if traits_of(route.transport).concurrent_sends:
            await route.transport.send(message)
        else:
            async with route.one_at_a_time:
                await route.transport.send(message)


def _jittered(wait: float, asked: timedelta | None) -> float:
    return max(wait * random.uniform(0.8, 1.2), asked.total_seconds() if asked else 0)  # noqa: S311  # not a secret
