"""A draft that the network brings back is the assistant's own, and never a question."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from nanokimi_core import AgentEvent, Outbound, Receipt, Text, Traits, Turn
from testbed.fakes import DraftingTransport, ScriptedBackend, ScriptedSession, asked, bench, check_sums

pytestmark = pytest.mark.anyio

WORDS = ("one", " two", " three")


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(autouse=True)
def _sums(tmp_path: Path) -> Any:
    yield
    check_sums(tmp_path)


class Echoing(DraftingTransport):
    """A network that brings back drafts in the chat with oneself, under our key or under an id of its own."""

    traits = Traits(draft_interval=0)

    def __init__(self, keeps_keys: bool) -> None:
        super().__init__()
        self.keeps_keys = keeps_keys

    async def draft(self, message: Outbound) -> None:
        await super().draft(message)
        number = message.key if self.keeps_keys else "n-1"
        told: dict[str, Any] = {"from_me": True, "kind": "self", "sender": "me"}
        if len(self.drafts) == 1:
            await self.say(message.text, message.chat, number, **told)
        else:
            await self.say(message.text, message.chat, f"edit {len(self.drafts)}", event="edit", target=number, **told)

    def accept(self, message: Outbound) -> Receipt | None:
        super().accept(message)
        return Receipt(message.key if self.keeps_keys else "n-1")


@pytest.mark.parametrize("keeps_keys", [True, False], ids=["our key", "an id of its own"])
async def test_drafts_that_come_back_are_neither_asked_nor_context(tmp_path: Path, keeps_keys: bool) -> None:
    async def answer(session: ScriptedSession, turn: Turn) -> AsyncIterator[AgentEvent]:
        for word in WORDS:
            yield Text(word)
            await anyio.sleep(0.02)

    net = Echoing(keeps_keys)
    async with bench(tmp_path, net=net, brain=ScriptedBackend(answer)).running() as given:
        await net.say("count", "me", "q", from_me=True, kind="self", sender="me")
        await net.until_sent(1)
        await given.settled()
        assert len(net.drafts) >= 2
        await net.say("one", "me", "q2", from_me=True, kind="self", sender="me")
        await net.until_sent(2)
        await given.settled()
        assert asked(given) == ["count", "one"], "what was a draft is a question when a person writes it afterwards"
        assert given.brain.prompts[1][1].context == ()
        counters = await given.assistant.store.counters()
        assert (counters["refused_own"], counters["context"]) == (len(net.drafts), 0)
