"""Our side of ACP: what an agent tells becomes events of the turn that runs; what it asks is granted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, cast

import acp
from acp import schema
from acp.core import ClientSideConnection

from nanokimi_core import AgentEvent, Text, Thought, ToolCall

Listener = Callable[[AgentEvent], None]

_ALLOWS = ("allow_always", "allow_once")
_STATUS: dict[str, Literal["running", "done", "failed"]] = {"completed": "done", "failed": "failed"}


class Client:
    """Hears the agent. Each session has at most one listener at a time: its running turn."""

    def __init__(self) -> None:
        self._listeners: dict[str, Listener] = {}
        self._titles: dict[tuple[str, str], str] = {}

    def listen(self, session: str, listener: Listener) -> None:
        """Give a session's events to a turn."""
        self._listeners[session] = listener

    def unlisten(self, session: str) -> None:
        """Drop what the session still says."""
        self._listeners.pop(session, None)
        for key in [key for key in self._titles if key[0] == session]:
            del self._titles[key]

    async def session_update(self, session_id: str, update: Any, **_: Any) -> None:
        """Take an update; the library calls this in the order of arrival, and it must not wait."""
        listener = self._listeners.get(session_id)
        if listener is not None and (event := self._event(session_id, update)) is not None:
            listener(event)

    async def request_permission(
        self, session_id: str, tool_call: Any, options: list[schema.PermissionOption], **_: Any
    ) -> schema.RequestPermissionResponse:
        """Grant it at once: the container is the limit, not the question."""
        for kind in _ALLOWS:
            for option in options:
                if option.kind == kind:
                    chosen = schema.AllowedOutcome(outcome="selected", option_id=option.option_id)
                    return schema.RequestPermissionResponse(outcome=chosen)
        return schema.RequestPermissionResponse(outcome=schema.DeniedOutcome(outcome="cancelled"))

    def _event(self, session: str, update: Any) -> AgentEvent | None:
        match update:
            case schema.AgentMessageChunk(content=schema.TextContentBlock(text=text)):
                return Text(text)
            case schema.AgentThoughtChunk(content=schema.TextContentBlock(text=text)):
                return Thought(text)
            case schema.ToolCallStart() | schema.ToolCallProgress():
                return self._tool_call(session, update)
            case _:
                return None

    def _tool_call(self, session: str, update: schema.ToolCallStart | schema.ToolCallProgress) -> ToolCall:
        key = (session, update.tool_call_id)
        title = self._titles[key] = update.title or self._titles.get(key, "")
        return ToolCall(update.tool_call_id, title, _STATUS.get(update.status or "", "running"))


def connect(client: Client, stream: Any) -> ClientSideConnection:
    """Speak ACP over a stream of messages."""
    return acp.connect_to_agent(cast(acp.Client, client), stream)
