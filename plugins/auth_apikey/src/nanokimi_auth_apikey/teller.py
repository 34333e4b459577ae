"""What the owner is told."""

from __future__ import annotations

from nanokimi_core import Context

_MOST = 256


class Teller:
    """Tells the owner something once, and keeps the log from saying it again and again."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._told: dict[str, str] = {}

    async def tell(self, key: str, text: str) -> None:
        """Tell it, unless it was the last thing told by this key."""
        if self._told.get(key) == text:
            return
        self._told[key] = text
        while len(self._told) > _MOST:
            del self._told[next(iter(self._told))]
        await self._context.tell_owner(key, text)
