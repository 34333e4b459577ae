"""What a chat sees while a turn runs: that the assistant is writing, and the answer as it grows."""

from __future__ import annotations

from contextlib import AsyncExitStack
from logging import Logger
from types import TracebackType

import anyio

from nanokimi_core.contracts.transport import EditsDrafts, ShowsTyping
from nanokimi_core.delivery import traits_of
from nanokimi_core.messages import Inbound, Outbound

_TYPING_AGAIN = 8.0


class Showing:
    """Shows a running turn on a transport that can; best effort, so what fails is only logged.

    Args:
        transport: Where the chat is.
        name: The transport's instance.
        message: What is being answered.
        key: Of the first part of the coming answer.
        log: For what failed.
    """

    def __init__(self, transport: object, message: Inbound, *, name: str, key: str, log: Logger) -> None:
        self._transport = transport
        self._message = message
        self._name = name
        self._key = key
        self._log = log
        self._text = ""
        self._news = anyio.Event()
        self._stack = AsyncExitStack()
        self._tasks = anyio.create_task_group()

    def grown(self, text: str) -> None:
        """Take the answer so far."""
        self._text = text
        self._news.set()

    async def __aenter__(self) -> Showing:
        await self._stack.enter_async_context(self._tasks)
        if isinstance(self._transport, ShowsTyping):
            self._tasks.start_soon(self._keep_typing, self._transport)
        if isinstance(self._transport, EditsDrafts):
            self._tasks.start_soon(self._keep_drafting, self._transport)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tasks.cancel_scope.cancel()
        try:
            await self._stack.__aexit__(None, None, None)
        finally:
            if isinstance(self._transport, ShowsTyping):
                with anyio.move_on_after(1, shield=True):
                    await self._typing(self._transport, on=False)

    async def _keep_typing(self, transport: ShowsTyping) -> None:
        while await self._typing(transport, on=True):  # noqa: ASYNC110  # a refresh, not a poll
            await anyio.sleep(_TYPING_AGAIN)

    async def _typing(self, transport: ShowsTyping, *, on: bool) -> bool:
        try:
            await transport.typing(self._message.chat, on)
        except Exception:  # noqa: BLE001  # a plugin boundary
            self._log.warning("%s could not show typing in %s", self._name, self._message.chat, exc_info=True)
            return False
        return True

    async def _keep_drafting(self, transport: EditsDrafts) -> None:
        while True:
            await self._news.wait()
            self._news = anyio.Event()
            draft = Outbound(key=self._key, chat=self._message.chat, text=self._text, thread=self._message.thread)
            try:
                await transport.draft(draft)
            except Exception:  # noqa: BLE001  # a plugin boundary
                self._log.warning("%s could not show a draft in %s", self._name, self._message.chat, exc_info=True)
                return
            await anyio.sleep(traits_of(transport).draft_interval)
