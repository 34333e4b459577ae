from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from nanokimi_core import Context, private_folder
from testbed.cloud import Cloud
from testbed.context import PluginContext
from testbed.kept import Kept


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return PluginContext(private_folder(tmp_path / "data" / "oauth_file"), "oauth_file")


@pytest.fixture
def kept(tmp_path: Path, cloud: Cloud) -> Kept:
    """An instance's folder, in which a keeper keeps a login of the stand-in login server."""
    return Kept(tmp_path / "data" / "oauth_file", cloud)


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
