"""A ``Context`` for tests of plugins: what the core gives to an instance, and what the instance told the owner."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from logging import LoggerAdapter
from pathlib import Path
from typing import Any


@dataclass
class PluginContext:
    """What a plugin instance gets."""

    folder: Path
    name: str
    assistant: str = "Kai"
    installation: str = "test-installation"
    told: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.log: LoggerAdapter[Any] = LoggerAdapter(logging.getLogger(f"test.{self.name}"), {})

    async def tell_owner(self, key: str, text: str) -> None:
        self.told.append(text)
