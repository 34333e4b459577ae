from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import nanokimi_core
from nanokimi_core import private_folder


@dataclass
class Context:
    name: str
    folder: Path
    assistant: str = "Kai"
    installation: str = "test-installation"
    log: logging.LoggerAdapter[Any] = field(
        default_factory=lambda: logging.LoggerAdapter(logging.getLogger("test.apikey"), {})
    )

    async def tell_owner(self, key: str, text: str) -> None:
        raise AssertionError((key, text))


@pytest.fixture
def context(tmp_path: Path) -> nanokimi_core.Context:
    return Context("apikey", private_folder(tmp_path / "data" / "apikey"))


@pytest.fixture(autouse=True)
def no_key_in_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MOONSHOT_API_KEY", raising=False)
