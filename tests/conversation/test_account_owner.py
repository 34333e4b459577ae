"""Whose account a transport uses is the owner, in their chat with themselves, where nobody else has become it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from nanokimi_core import Spec
from nanokimi_core.config import Location, Settings
from nanokimi_core.conversation.catalogue import phrase
from nanokimi_core.plugins import PluginHost, installed
from nanokimi_core.runtime import Assistant
from testbed.fakes import (
    Bench,
    MemoryTransport,
    ScriptedAuth,
    ScriptedBackend,
    asked,
    bench,
    joining,
    plugin,
    providing,
)

pytestmark = pytest.mark.anyio

SELF: dict[str, Any] = {"kind": "self", "from_me": True, "sender": "me"}


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@dataclass
class OwnAccount(MemoryTransport):
    """A transport of a person's own account, once it is linked to one."""

    linked: Any = "me"

    def __post_init__(self) -> None:
        super().__init__()

    def owner_chat(self) -> Any:
        if isinstance(self.linked, BaseException):
            raise self.linked
        return self.linked


def own(folder: Path, linked: Any = "me", **toml: Any) -> tuple[Bench, OwnAccount]:
    net = OwnAccount(linked)
    return bench(folder, toml, net=net, brain=ScriptedBackend(joining)), net


async def orders(given: Bench, **where: Any) -> bool:
    """Whether an order is carried out."""
    before = len(given.net.sent)
    await given.net.say("/chats", **where)
    await given.settled()
    return any("I know" in message.text for message in given.net.sent[before:])


# --------------------------------------------------------------------- who it is
async def test_the_chat_with_themselves_of_the_accounts_owner_is_the_owners_without_a_code(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    given, _ = own(tmp_path, chats={})
    async with given.running():
        assert given.assistant.conversation.ownership.chat() == "net:me"
        assert (await given.assistant.operations.status()).owner == "net:me"
        assert await orders(given, chat="me", **SELF)
        assert await orders(given, chat="me-49", chat_aliases=frozenset({"me"}), **SELF)
        assert "/owner" not in caplog.text
        await given.net.say("hello?", chat="stranger")
        await given.settled()
        assert "/allow" in given.net.texts("me")[-1]
        await given.net.say("buy milk", chat="me", **SELF)
        await given.settled()
        assert asked(given) == ["buy milk"]


@pytest.mark.parametrize(
    "where",
    [
        {"chat": "me"},
        {"chat": "me", "kind": "self"},
        {"chat": "me", "from_me": True},
        {"chat": "me", "kind": "group", "from_me": True},
        {"chat": "other", "kind": "self", "from_me": True},
    ],
    ids=str,
)
async def test_nobody_else_and_nowhere_else_is_obeyed(tmp_path: Path, where: dict[str, Any]) -> None:
    given, _ = own(tmp_path)
    async with given.running():
        assert not await orders(given, **where)


async def test_the_tomls_owner_wins(tmp_path: Path) -> None:
    given, _ = own(tmp_path, owner="net:boss")
    async with given.running():
        assert given.assistant.conversation.ownership.chat() == "net:boss"
        assert not await orders(given, chat="me", **SELF)
        assert await orders(given, chat="boss")


async def test_who_has_sent_the_code_wins(tmp_path: Path) -> None:
    given, net = own(tmp_path, None)
    async with given.running():
        code = given.assistant.conversation.ownership.offer()
        await net.say(f"/owner {code}", chat="ana")
        assert await net.until_sent(1) == [phrase("en", "owner_welcome")]
        net.linked = "me"
        assert given.assistant.conversation.ownership.chat() == "net:ana"
        assert not await orders(given, chat="me", **SELF)


# --------------------------------------------------------------------- it may change
async def test_an_account_that_is_linked_later_has_an_owner_from_then_on_and_the_code_is_void(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    given, net = own(tmp_path, None, chats={})
    async with given.running():
        code = given.assistant.conversation.ownership.offer()
        assert code is not None
        await net.say("hello?", chat="stranger")
        assert not await orders(given, chat="me", **SELF)
        net.linked = "me"
        assert given.assistant.conversation.ownership.offer() is None
        await net.say(f"/owner {code}", chat="eve")
        await net.say("hello??", chat="stranger")
        await given.settled()
        assert any("stranger" in text and "/allow" in text for text in net.texts("me"))
        assert given.assistant.conversation.ownership.chat() == "net:me"
        net.linked = "me2"
        assert await orders(given, chat="me2", **SELF)
        assert not await orders(given, chat="me", **SELF)


async def test_what_was_said_before_the_transports_were_there_is_told_all_the_same(tmp_path: Path) -> None:
    given, net = own(tmp_path)
    instance = given.assistant.instances["auth purse"]
    await instance.context.tell_owner("login", "log in, please")
    async with given.running():
        assert await net.until_sent(1) == ["purse: log in, please"]
        assert net.sent[0].chat == "me"


# --------------------------------------------------------------------- several, and broken ones
def assistant_of(folder: Path, nets: dict[str, OwnAccount]) -> Assistant:
    modules = {
        "net": providing(transports=[Spec("net", lambda config, context: nets[context.name])]),
        "brain": providing(backends=[Spec("brain", lambda config, context: ScriptedBackend(joining))]),
        "purse": providing(auths=[Spec("purse", lambda config, context: ScriptedAuth())]),
    }
    toml = {"transports": list(nets), "backend": "brain", "auth": "purse", "plugins": {"second": {"use": "net"}}}
    host = PluginHost([*installed(), *(plugin(name, module) for name, module in modules.items())])
    assistant = Assistant(Settings.model_validate(toml), Location(None, folder / "data"), host)
    assistant.prepare()
    return assistant


async def test_of_two_transports_that_know_an_owner_the_tomls_first_one_counts(tmp_path: Path) -> None:
    nets = {"second": OwnAccount(None), "net": OwnAccount("me")}
    assistant = assistant_of(tmp_path, nets)
    given = Bench(assistant, nets["net"], ScriptedBackend(), ScriptedAuth())
    async with given.running():
        await nets["second"].connected.wait()
        assert assistant.conversation.ownership.chat() == "net:me"
        nets["second"].linked = "you"
        assert assistant.conversation.ownership.chat() == "second:you"
        assert not await orders(given, chat="me", **SELF)


@pytest.mark.parametrize(
    ("linked", "said"),
    [
        (RuntimeError("no map"), "RuntimeError: no map"),
        (SystemExit(3), "SystemExit"),
        (7, "it returned int, not str or None"),
    ],
    ids=["raises", "exits", "gives a number"],
)
async def test_a_transport_that_cannot_say_is_named_once_and_all_else_goes_on(
    tmp_path: Path, linked: Any, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    given, net = own(tmp_path, linked)
    async with given.running():
        for number in range(3):
            await net.say(f"hello {number}", **SELF)
            await given.settled()
        assert len(net.texts("desk")) == 3
        assert given.assistant.conversation.ownership.chat() is None
    (line,) = [record.getMessage() for record in caplog.records if "to say which chat is the owner's" in record.message]
    assert line.startswith(f'plugin "net" (dist-net 1.0) failed to say which chat is the owner\'s: {said}')
