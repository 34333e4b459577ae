"""What a chat sees while a turn runs: that the assistant is writing, and the answer as it grows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from logging import Logger
from typing import Any

import anyio

from nanokimi_core.delivery import Route
from nanokimi_core.messages import Inbound, Outbound
from nanokimi_core.supervision import guarded

_TYPING_AGAIN = 8.0
_LONGEST = 10.0


@asynccontextmanager
async def showing(route: Route | None, message: Inbound, key: str, log: Logger) -> AsyncIterator[Callable[[str], None]]:
    """Show a running turn on a transport that can; best effort, so what fails is only logged.

    Args:
        route: Where the chat is.
        message: What is being answered.
        key: Of the first part of the coming answer.
        log: For what failed.

    Yields:
        To be called with the answer so far.
    """
    if route is None or not (route.shows_typing or route.edits_drafts):
        yield _nothing
        return
    failed: Exception | None = None
    shown = _Showing(route, message, key, log)
    try:
        async with anyio.create_task_group() as tasks:
            if route.shows_typing:
                tasks.start_soon(shown.keep_typing)
            if route.edits_drafts:
                tasks.start_soon(shown.keep_drafting)
            try:
                yield shown.grown
            except Exception as error:  # noqa: BLE001  # the turn's own: raised again as it is, not in a group
                failed = error
            tasks.cancel_scope.cancel()
    finally:
        if route.shows_typing:
            with anyio.move_on_after(1, shield=True):
                await shown.typing(on=False)
    if failed is not None:
        raise failed


def _nothing(text: str) -> None:
    """Show nothing."""


class _Showing:
    def __init__(self, route: Route, message: Inbound, key: str, log: Logger) -> None:
        self._route = route
        self._transport: Any = route.transport
        self._message = message
        self._key = key
        self._log = log
        self._text = ""
        self._news = anyio.Event()

    def grown(self, text: str) -> None:
        self._text = text
        self._news.set()

    async def keep_typing(self) -> None:
        while await self.typing(on=True):  # noqa: ASYNC110  # a refresh, not a poll
            await anyio.sleep(_TYPING_AGAIN)

    async def typing(self, *, on: bool) -> bool:
        async def show() -> None:
            await self._transport.typing(self._message.chat, on)

        plugin = self._route.plugin
        return await self._try(partial(guarded, show, plugin=plugin, doing="to show typing", within=_LONGEST))

    async def keep_drafting(self) -> None:
        while True:
            await self._news.wait()
            self._news = anyio.Event()
            message = self._message
            draft = Outbound(
                key=self._key,
                chat=message.chat,
                text=self._text,
                thread=message.thread,
                reply_to=message.id if self._route.quotes(message.kind) else None,
            )
            if not await self._try(partial(self._route.draft, draft, within=_LONGEST)):
                return
            await anyio.sleep(self._route.traits.draft_interval)

    async def _try(self, call: Callable[[], Awaitable[Any]]) -> bool:
        """Call the transport; whether it worked."""
        try:
            await call()
        except Exception as error:  # noqa: BLE001  # a plugin boundary
            self._log.warning("%s could not show a turn in %s: %s", self._route.name, self._message.chat, error)
            return False
        return True
