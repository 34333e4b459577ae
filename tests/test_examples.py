"""The examples in the docs run as they stand."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio
import anyio.abc
import pytest

from nanokimi_core.config import Location, Settings
from nanokimi_core.config.model import Limits
from nanokimi_core.conversation.catalogue.english import ENGLISH
from nanokimi_core.errors import Failure
from nanokimi_core.plugins import PluginHost, installed
from nanokimi_core.runtime import Assistant
from testbed.fakes import plugin

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
READMES = [*ROOT.glob("plugins/*/README.md"), *ROOT.glob("examples/*/README.md")]
GUIDES = sorted([*READMES, *(ROOT / "docs").glob("**/*.md")])


def place(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def made(source: str, name: str) -> ModuleType:
    """Run an example as the module that a plugin's entry point names."""
    module = ModuleType(name)
    exec(compile(source, f"{name} in the docs", "exec", dont_inherit=True), module.__dict__)  # noqa: S102
    return module


def assistant_on(folder: Path, toml: dict[str, Any], **modules: ModuleType) -> Assistant:
    host = PluginHost([*installed(), *(plugin(name, module) for name, module in modules.items())])
    assistant = Assistant(Settings.model_validate(toml), Location(None, folder / "data"), host)
    assistant.prepare()
    return assistant


async def meet(assistant: Assistant, socket: Path, serve: Callable[[anyio.abc.SocketStream], Awaitable[None]]) -> None:
    """Run an assistant beside a network on a Unix socket, until the assistant has stopped."""
    with anyio.fail_after(20):
        async with await anyio.create_unix_listener(socket) as listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, serve)
            await assistant.run()
            tasks.cancel_scope.cancel()


@pytest.mark.anyio
async def test_the_readmes_transport_carries_a_message_both_ways(tmp_path: Path) -> None:
    (source,) = blocks(README, "python")
    socket = tmp_path / "line.sock"
    toml = {"transports": ["line"], "plugins": {"line": {"path": str(socket)}}, "chats": {"line:*": {}}}
    assistant = assistant_on(tmp_path, toml, line=made(source, "line"))
    answers: list[str] = []

    async def serve(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.send(b'{"id": "1", "chat": "desk", "sender": "ana", "text": "hello"}\n')
            answers.append((await stream.receive()).decode())
            assistant.stop()

    await meet(assistant, socket, serve)
    answer = json.loads(answers[0])
    assert answer["key"]
    assert answer["text"] == "hello"


def test_the_readmes_transport_has_at_most_fifteen_lines() -> None:
    (source,) = blocks(README, "python")
    transport = source[source.index("class Line:") : source.index("@hookimpl")]
    assert 10 < len([line for line in transport.splitlines() if line.strip()]) <= 15


@pytest.mark.parametrize("page", [ROOT / "README.md", *GUIDES], ids=place)
def test_every_toml_in_the_docs_is_accepted(page: Path) -> None:
    for block in blocks(page.read_text(), "toml"):
        values = tomllib.loads(block)
        if "project" not in values:
            Settings.model_validate(values)


@pytest.mark.parametrize("page", [*sorted(ROOT.glob("*.md")), *GUIDES], ids=place)
def test_every_link_between_pages_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", [*sorted(ROOT.glob("*.md")), *GUIDES], ids=place)
def test_every_link_to_a_part_of_a_page_leads_to_a_heading(page: Path) -> None:
    for target, part in re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", page.read_text()):
        text = (page.parent / target if target else page).read_text()
        headings = [re.sub(r"[^\w -]", "", line.lower()) for line in re.findall(r"^#+ (.+)$", text, re.MULTILINE)]
        assert part in [heading.replace(" ", "-") for heading in headings], f"{page.name} links to {target}#{part}"


# --------------------------------------------------------------------- what must stand in them
def named(page: str) -> set[str]:
    """Everything that a page sets as code, in words."""
    prose = re.sub(r"^```.*?^```", "", (ROOT / "docs" / page).read_text(), flags=re.DOTALL | re.MULTILINE)
    return set(re.findall(r"[\w/-]+", " ".join(re.findall(r"`([^`]+)`", prose))))


@pytest.mark.parametrize("page", ["operating.md", "plugins/backend.md"])
def test_what_becomes_of_a_message_is_told_for_every_kind_of_failure(page: str) -> None:
    kinds = {kind.value if page == "operating.md" else kind.name for kind in Failure}
    assert sorted(kinds - named(page)) == []


def test_every_command_in_chat_is_told_to_the_owner() -> None:
    words = set(re.findall(r"^(/\w+)", ENGLISH["help"] + "\n" + ENGLISH["help_owner"], flags=re.MULTILINE))
    assert len(words) > 8
    assert sorted(words - named("operating.md")) == []


def test_every_limit_is_in_the_table_of_caps() -> None:
    assert sorted(set(Limits.model_fields) - named("operating.md")) == []
