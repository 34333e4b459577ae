"""A plugin author's desk: modules in real files, published as real distributions that this process finds."""

from __future__ import annotations

import itertools
import logging
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from logging import LoggerAdapter
from pathlib import Path
from typing import Any

import pytest

from nanokimi_core.config import Location, validate_table
from nanokimi_core.errors import NanoKimiError, PluginError
from nanokimi_core.instances import Instance, InstanceContext
from nanokimi_core.plugins import Kind, PluginHost

_COUNT = itertools.count()

HEAD = """
from __future__ import annotations
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from nanokimi_core import *
from pydantic import BaseModel
"""

HOOKS = {
    kind: f"\n@hookimpl\ndef nanokimi_{kind}s():\n    return [Spec('post', Post)]\n"
    for kind in ("transport", "backend", "auth")
}
TRANSPORT = """
class Post:  #@class
    def __init__(self, config, context): ...

    async def run(self, inbox: Inbox) -> None:
        inbox.ready()
"""
SEND = """
    async def send(self, message: Outbound) -> Receipt | None:
        return None
"""
BACKEND = """
class Post:  #@class
    def __init__(self, config, context): ...

    async def forget(self, chat: Chat) -> None: ...
"""
SESSION = """
    @asynccontextmanager  #@session
    async def session(self, chat: Chat) -> AsyncIterator[Session]:
        yield Talk()

class Talk:  #@talk
    async def cancel(self) -> None: ...
"""
AUTH = """
class Post:  #@class
    def __init__(self, config, context): ...

    async def rejected(self, grant: Grant, why: str) -> None: ...
"""
GRANT = """
    async def grant(self, need: Need) -> Grant: ...
    async def status(self) -> AuthStatus: ...
"""


async def _tell(key: str, text: str) -> None:
    """Nobody listens."""


@dataclass
class Workshop:
    """Where a plugin called ``post`` is written.

    Attributes:
        folder: On ``sys.path``.
        module: The name of the plugin's module, different in each test.
    """

    folder: Path
    module: str = field(default_factory=lambda: f"nanokimi_post{next(_COUNT)}")

    @property
    def file(self) -> Path:
        return self.folder / f"{self.module}.py"

    def write(self, source: str, *, head: str = HEAD) -> None:
        self.file.write_text(head + source)

    def publish(
        self,
        name: str = "post",
        *,
        distribution: str = "nanokimi-post",
        version: str = "1.0",
        target: str = "",
        group: str = "nanokimi",
        requires: str = "",
    ) -> None:
        """Write what pip would write; without a group there is no entry point."""
        info = self.folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        required = f"Requires-Dist: {requires}\n" if requires else ""
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n{required}")
        (info / "RECORD").write_text(f"{self.module}.py,,\n{info.name}/METADATA,,\n")
        if group:
            (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {target or self.module}\n")

    def line(self, mark: str) -> str:
        """Give ``file:line`` of the line that ends with a mark."""
        numbers = [number for number, text in enumerate(self.file.read_text().split("\n"), 1) if text.endswith(mark)]
        assert len(numbers) == 1, f"{mark} stands on lines {numbers}"
        return f"{self.file}:{numbers[0]}"

    def told(self, sentence: str) -> str:
        """Put places into a sentence: ``{@mark}``."""
        return re.sub(r"\{(@\w+)\}", lambda found: self.line(found[1]), sentence).replace("{module}", self.module)

    def instance(self, kind: Kind = "transport") -> Instance:
        """Load the plugin and check its empty table, as the core does."""
        provided = PluginHost().spec(kind, "post")
        config = validate_table(provided.spec.config, {}, "post", Location(None, self.folder))
        log: LoggerAdapter[Any] = LoggerAdapter(logging.getLogger("test.post"), {})
        context = InstanceContext("post", "Kai", self.folder, log, "here", _tell)
        return Instance("post", kind, provided, config, context)

    def refused(self, kind: Kind = "transport", name: str = "post") -> str:
        """Load the plugin, and give the error that this ends with."""
        with pytest.raises(PluginError) as caught:
            PluginHost().spec(kind, name)
        return said(caught.value)


def said(error: NanoKimiError) -> str:
    """Give an error as a person sees it; it is one line."""
    assert "\n" not in str(error)
    return str(error)


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workshop]:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    made = Workshop(folder)
    yield made
    for name in [name for name in sys.modules if name.startswith(made.module)]:
        del sys.modules[name]
