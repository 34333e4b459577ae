"""The examples in the docs run as they stand."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from types import ModuleType

import anyio
import anyio.abc
import pytest

from nanokimi_core.config import Location, Settings
from nanokimi_core.plugins import PluginHost, installed
from nanokimi_core.runtime import Assistant
from testbed.fakes import plugin

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.anyio
async def test_the_readmes_transport_carries_a_message_both_ways(tmp_path: Path) -> None:
    (source,) = blocks(README, "python")
    module = ModuleType("line")
    exec(compile(source, "README.md", "exec", dont_inherit=True), module.__dict__)  # noqa: S102
    socket = tmp_path / "line.sock"
    toml = {
        "transports": ["line"],
        "plugins": {"line": {"path": str(socket)}},
        "chats": {"line:*": {}},
    }
    host = PluginHost([*installed(), plugin("line", module)])
    assistant = Assistant(Settings.model_validate(toml), Location(None, tmp_path / "data"), host)
    assistant.prepare()
    answers: list[str] = []

    async def serve(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.send(b"1 hello\n")
            answers.append((await stream.receive()).decode())
            assistant.stop()

    with anyio.fail_after(10):
        async with await anyio.create_unix_listener(socket) as listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, serve)
            await assistant.run()
            tasks.cancel_scope.cancel()
    key, _, text = answers[0].partition(" ")
    assert key
    assert text == "hello\n"


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
