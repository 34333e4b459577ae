from __future__ import annotations

from pathlib import Path

import pytest

from nanokimi_core import Context, private_folder
from testbed.context import PluginContext


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return PluginContext(private_folder(tmp_path / "data" / "apikey"), "apikey")


@pytest.fixture(autouse=True)
def no_key_in_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MOONSHOT_API_KEY", raising=False)
