from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
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
        default_factory=lambda: logging.LoggerAdapter(logging.getLogger("test.oauth_file"), {})
    )

    async def tell_owner(self, key: str, text: str) -> None:
        raise AssertionError((key, text))


@pytest.fixture
def context(tmp_path: Path) -> nanokimi_core.Context:
    return Context("oauth_file", private_folder(tmp_path / "data" / "oauth_file"))


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder whose parents every user can enter, unlike those of ``tmp_path``."""
    folder = Path(tempfile.mkdtemp(prefix="nanokimi-oauth-"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def as_user() -> Callable[[int], AbstractContextManager[None]]:
    """Become another user for a while; needs root."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    return _as_user


@contextmanager
def _as_user(uid: int) -> Iterator[None]:
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(uid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)
