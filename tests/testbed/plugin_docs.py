"""What the pages of a plugin say about its table, for tests that compare it with the table's model."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel


class PluginPages:
    """A plugin's README and its section in ``docs/auth.md``.

    Args:
        plugin: The toml's name of it.
        folder: Of its distribution.
        model: Of its table.
    """

    def __init__(self, plugin: str, folder: Path, model: type[BaseModel]) -> None:
        self._plugin = plugin
        self._model = model
        self._texts = {
            "README.md": (folder / "README.md").read_text(),
            "auth.md": (folder.parent.parent / "docs" / "auth.md").read_text(),
        }

    def accept_every_example(self, page: str) -> None:
        tables = [plugins for block in self._blocks(page) for plugins in [tomllib.loads(block).get("plugins", {})]]
        for name, table in ((name, table) for plugins in tables for name, table in plugins.items()):
            if table.pop("use", name) == self._plugin:
                self._model.model_validate(table)

    def undocumented(self, page: str) -> list[str]:
        text = self._texts[page]
        section = text[text.index(f"## `{self._plugin}`") :] if page == "auth.md" else text
        return [name for name in self._model.model_fields if name not in section]

    def commented_out(self) -> dict[str, Any]:
        """The README's only example, with what stands in it as a comment."""
        (block,) = self._blocks("README.md")
        table: dict[str, Any] = tomllib.loads(re.sub(r"^# ", "", block, flags=re.MULTILINE))["plugins"][self._plugin]
        return table

    def _blocks(self, page: str) -> list[str]:
        return re.findall(r"^```toml\n(.*?)^```", self._texts[page], flags=re.DOTALL | re.MULTILINE)
