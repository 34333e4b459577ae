"""The conformance suites as pytest runs them, on what the core itself ships; and that no check is left out of them."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel, ConfigDict

from nanokimi_core import NotSent, Spec, Undeliverable
from nanokimi_core.testing import AuthSuite, BackendSuite, TransportRig, TransportSuite, conformance
from nanokimi_core.testing.conformance.checks import Check
from nanokimi_core.testing.console_rig import ConsoleRig
from nanokimi_core.testing.network import CHAT, DraftingTransport, MemoryNetwork


class TestConsole(TransportSuite):
    rig = ConsoleRig


class MemoryConfig(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)

    network: MemoryNetwork


class MemoryRig(TransportRig):
    spec: ClassVar[Spec[Any]] = Spec(
        "memory", lambda config, context: DraftingTransport(config, context, network=config.network), MemoryConfig
    )
    chat = CHAT
    keeps: ClassVar[bool] = True
    shows_a_key_once: ClassVar[bool] = True

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.network = MemoryNetwork()

    def table(self) -> Mapping[str, Any]:
        return {"network": self.network}

    async def write(self, text: str) -> None:
        self.network.write(text)

    async def shown(self, chat: str) -> Sequence[str]:
        return self.network.seen(chat)

    async def acknowledged(self) -> Collection[str]:
        unacknowledged = [message.id for message in self.network.unacknowledged]
        return [message.text for message in self.network.written if message.id not in unacknowledged]

    async def bring_again(self) -> None:
        self.network.bring_again()

    async def cut(self) -> None:
        self.network.cut()

    async def refuse_lines(self) -> None:
        self.network.refuse()

    async def throttle_next(self) -> timedelta:
        self.network.fail_next(NotSent("the network is busy", retry_after=timedelta(seconds=7)))
        return timedelta(seconds=7)

    async def forbid_next(self) -> None:
        self.network.fail_next(Undeliverable("this person has blocked us"))

    async def lose_next(self) -> None:
        self.network.lose_next()

    async def write_file(self, name: str, data: bytes, text: str) -> None:
        self.network.write(text, files={name: data})

    async def shown_files(self, chat: str) -> Sequence[tuple[str, bytes]]:
        return [(name, data) for where, name, data in self.network.files if where == chat]

    async def typing_shown(self, chat: str) -> bool:
        return chat in self.network.typing

    async def edit(self, text: str) -> None:
        self.network.write(text, event="edit", target=self.network.written[-1].id)


class TestMemory(TransportSuite):
    rig = MemoryRig


# --------------------------------------------------------------------- what belongs to a suite
def written() -> Iterator[tuple[str, Check]]:
    """Give each check that stands in a module of the kit, with the kind of plugin that its folder is for."""
    inside = f"{conformance.__name__}."
    for module in pkgutil.walk_packages(conformance.__path__, inside):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, Check):
                yield module.name.removeprefix(inside).partition(".")[0], value


@pytest.mark.parametrize("suite", [TransportSuite, BackendSuite, AuthSuite])
def test_every_check_that_is_written_is_in_the_suite_of_its_kind_once(suite: type[Any]) -> None:
    (kind,) = {check.kind for check in suite.checks}
    found = {check.name for folder, check in written() if folder == kind}
    assert len(found) > 20
    assert sorted(check.name for check in suite.checks) == sorted(found)
    assert {check.kind for folder, check in written() if folder == kind} == {kind}


def test_every_check_says_what_it_wants() -> None:
    assert [check.name for _, check in written() if len(check.wants.split()) < 5] == []


def test_an_excuse_from_a_check_that_there_is_not_is_said() -> None:
    class ExcusedRig(ConsoleRig):
        excused: ClassVar[Mapping[str, str]] = {"sends in odour": "the console has none"}

    class Excused(TransportSuite):
        rig = ExcusedRig

    asked: Any = SimpleNamespace(fixturenames=["check", "loop"])
    with pytest.raises(pytest.fail.Exception, match=r"ExcusedRig\.excused names 'sends in odour': there is no such"):
        Excused().pytest_generate_tests(asked)
