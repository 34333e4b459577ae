"""The examples in the docs run as they stand."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio
import anyio.abc
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

import nanokimi_core
from nanokimi_core.config import Location, Settings
from nanokimi_core.config.model import Limits
from nanokimi_core.conversation.catalogue.english import ENGLISH
from nanokimi_core.errors import Failure
from nanokimi_core.plugins import PluginHost, installed
from nanokimi_core.runtime import Assistant
from testbed.fakes import plugin

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


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
            await stream.send(b"1 hello\n")
            answers.append((await stream.receive()).decode())
            assistant.stop()

    await meet(assistant, socket, serve)
    key, _, text = answers[0].partition(" ")
    assert key
    assert text == "hello\n"


BUSY_AT_FIRST = """
import sys
from pathlib import Path

asked = Path(sys.argv[1])
with asked.open("a") as file:
    file.write(sys.stdin.read() + "\\n---\\n")
if asked.read_text().count("---") == 1:
    sys.exit(75)
print("It is green.")
"""


@pytest.mark.anyio
async def test_the_guides_plugins_acknowledge_after_keeping_repeat_no_question_and_send_under_one_key(
    tmp_path: Path,
) -> None:
    transport, backend = blocks((ROOT / "docs" / "plugins.md").read_text(), "python")
    socket, asked, program = tmp_path / "post.sock", tmp_path / "asked", tmp_path / "program.py"
    program.write_text(BUSY_AT_FIRST)
    toml = {
        "transports": ["post"],
        "backend": "command",
        "plugins": {
            "post": {"path": str(socket)},
            "command": {"command": [sys.executable, str(program), str(asked)]},
        },
        "chats": {"post:*": {}},
    }
    assistant = assistant_on(tmp_path, toml, post=made(transport, "post"), command=made(backend, "command"))
    message = {"id": "1", "chat": "ana", "sender": "ana", "text": "What colour is it?"}
    acknowledged: list[str] = []
    sent: list[dict[str, Any]] = []

    async def serve(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            lines = BufferedByteReceiveStream(stream)
            for _ in range(2):
                await stream.send(json.dumps({"message": message}).encode() + b"\n")
            while len(sent) < 3:
                heard = json.loads(await lines.receive_until(b"\n", 65536))
                if "ack" in heard:
                    acknowledged.append(heard["ack"])
                    continue
                sent.append(heard)
                if len(sent) == 2:
                    await stream.send(json.dumps({"accepted": heard["key"], "id": "n1"}).encode() + b"\n")
                    echo = {**message, "id": "n1", "sender": "me", "text": heard["text"], "from_me": True}
                    await stream.send(json.dumps({"message": echo}).encode() + b"\n")
                    await stream.send(
                        json.dumps({"message": {**message, "id": "2", "text": "/status"}}).encode() + b"\n"
                    )
            assistant.stop()

    await meet(assistant, socket, serve)
    async with assistant.store as store:
        counters = await store.counters()
    assert acknowledged[:2] == ["1", "1"]
    later, answer, status = sent
    assert "I'll answer it in" in later["text"]
    assert (answer["chat"], answer["text"], answer["answers"]) == ("ana", "It is green.", "1")
    assert "is ready" in status["text"]
    question, again, rest = asked.read_text().split("\n---\n")
    assert "What colour is it?" in question
    assert again.startswith("No answer to the last question has arrived.")
    assert rest == ""
    assert (counters["duplicate"], counters["refused_own"], counters["answered"]) == (1, 1, 1)


def test_the_readmes_transport_is_about_fifteen_lines() -> None:
    (source,) = blocks(README, "python")
    code = [line for line in source[source.index("class Line:") :].splitlines() if line.strip()]
    assert len(code) <= 16


@pytest.mark.parametrize("page", sorted([ROOT / "README.md", *(ROOT / "docs").glob("**/*.md")]), ids=lambda p: p.name)
def test_every_toml_in_the_docs_is_accepted(page: Path) -> None:
    for block in blocks(page.read_text(), "toml"):
        values = tomllib.loads(block)
        if "project" not in values:
            Settings.model_validate(values)


@pytest.mark.parametrize("page", sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("**/*.md")]), ids=lambda p: p.name)
def test_every_link_between_pages_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("**/*.md")]), ids=lambda p: p.name)
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


def test_every_name_that_plugin_authors_may_import_is_explained() -> None:
    source = "\n".join(blocks((ROOT / "docs" / "plugins.md").read_text(), "python"))
    told = named("plugins.md") | set(re.findall(r"\w+", source))
    assert sorted(set(nanokimi_core.__all__) - told) == []


@pytest.mark.parametrize("page", ["operating.md", "plugins.md"])
def test_what_becomes_of_a_message_is_told_for_every_kind_of_failure(page: str) -> None:
    kinds = {kind.value if page == "operating.md" else kind.name for kind in Failure}
    assert sorted(kinds - named(page)) == []


def test_every_command_in_chat_is_told_to_the_owner() -> None:
    words = set(re.findall(r"^(/\w+)", ENGLISH["help"] + "\n" + ENGLISH["help_owner"], flags=re.MULTILINE))
    assert len(words) > 8
    assert sorted(words - named("operating.md")) == []


def test_every_limit_is_in_the_table_of_caps() -> None:
    assert sorted(set(Limits.model_fields) - named("operating.md")) == []
