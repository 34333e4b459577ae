"""What an agent tells over ACP, heard through the library's own connection, with a scripted agent at its other end."""

from __future__ import annotations

from typing import Any

import acp
import pytest
from acp import schema
from acp._transport import memory_transport_pair
from acp.core import AgentSideConnection

from nanokimi_backend_kimi_docker.acp_client import Client, connect
from nanokimi_core import AgentEvent, Text, Thought, ToolCall

pytestmark = pytest.mark.anyio


class Agent:
    """Says and asks what a test wants."""

    def __init__(self) -> None:
        self.client: Any = None
        self.outcomes: list[Any] = []

    def on_connect(self, client: Any) -> None:
        self.client = client

    async def prompt(self, session_id: str, prompt: list[Any], **_: Any) -> schema.PromptResponse:
        await self.client.session_update(session_id, acp.update_agent_thought_text("hm"))
        await self.client.session_update(session_id, acp.start_tool_call("t1", "Look", status="pending"))
        await self.client.session_update("another session", acp.update_agent_message_text("not for us"))
        await self.client.session_update(session_id, acp.update_tool_call("t1", status="completed"))
        for word in ("one ", "two ", "three"):
            await self.client.session_update(session_id, acp.update_agent_message_text(word))
        return schema.PromptResponse(stop_reason="end_turn")

    async def ask(self, *kinds: str) -> Any:
        options = [schema.PermissionOption(option_id=f"o-{kind}", name=kind, kind=kind) for kind in kinds]  # type: ignore[arg-type]
        call = schema.ToolCallUpdate(tool_call_id="t1")
        answer = await self.client.request_permission(session_id="s", tool_call=call, options=options)
        return answer.outcome


async def test_updates_become_the_events_of_the_session_that_listens_in_their_order() -> None:
    ours, theirs = memory_transport_pair()
    agent, client = Agent(), Client()
    agent_side = AgentSideConnection(agent, theirs)  # type: ignore[arg-type]
    connection = connect(client, ours)
    heard: list[AgentEvent] = []
    client.listen("s", heard.append)
    await connection.prompt(session_id="s", prompt=[acp.text_block("hello")])
    client.unlisten("s")
    await connection.prompt(session_id="s", prompt=[acp.text_block("hello")])
    assert heard == [
        Thought("hm"),
        ToolCall("t1", "Look", "running"),
        ToolCall("t1", "Look", "done"),
        Text("one "),
        Text("two "),
        Text("three"),
    ]
    await connection.close()
    await agent_side.close()


async def test_every_wish_is_granted_for_as_long_as_possible() -> None:
    ours, theirs = memory_transport_pair()
    agent = Agent()
    agent_side = AgentSideConnection(agent, theirs)  # type: ignore[arg-type]
    connection = connect(Client(), ours)
    granted = await agent.ask("reject_once", "allow_once", "allow_always")
    assert granted.option_id == "o-allow_always"
    assert (await agent.ask("reject_once", "allow_once")).option_id == "o-allow_once"
    assert (await agent.ask("reject_once")).outcome == "cancelled"
    await connection.close()
    await agent_side.close()
