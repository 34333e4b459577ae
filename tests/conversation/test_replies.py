"""In groups a reply to the assistant triggers it, also where the network doesn't say whose message was answered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nanokimi_core import Outbound, Receipt
from testbed.fakes import MemoryTransport, ScriptedBackend, asked, bench, check_sums, joining

pytestmark = pytest.mark.anyio


class Naming(MemoryTransport):
    """A network with ids of its own for what was sent."""

    def accept(self, message: Outbound) -> Receipt | None:
        super().accept(message)
        return Receipt(f"n-{len(self.sent)}")


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(autouse=True)
def _sums(tmp_path: Path) -> Any:
    yield
    check_sums(tmp_path)


@pytest.mark.parametrize("net", [MemoryTransport, Naming], ids=["by our key", "by the network's id"])
@pytest.mark.parametrize(
    ("rule", "triggers"), [({}, True), ({"trigger": "mention"}, True), ({"trigger": "never"}, False)]
)
async def test_a_reply_to_what_the_assistant_said_triggers_it_where_a_mention_does(
    tmp_path: Path, net: type[MemoryTransport], rule: dict[str, Any], triggers: bool
) -> None:
    toml = {"chats": {"net:*": {}, "net:group": rule}}
    async with bench(tmp_path, toml, net=net(), brain=ScriptedBackend(joining)).running() as given:
        await given.net.say("/help", "group", "1", kind="group")
        await given.net.until_sent(1)
        ours = given.net.sent[0].key if net is MemoryTransport else "n-1"
        await given.net.say("to Ana", "group", "2", kind="group", reply_to="1")
        await given.net.say("in another chat", "other", "3", kind="group", reply_to=ours)
        await given.net.say("and then?", "group", "4", kind="group", reply_to=ours)
        await given.settled()
        assert asked(given) == (["and then?"] if triggers else [])
