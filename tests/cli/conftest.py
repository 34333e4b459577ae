"""A site of its own for each test of the command line."""

from __future__ import annotations

import io
import logging
import os
import sys
import threading
from pathlib import Path

import pytest

from nanokimi_core.cli.guard import run
from testbed.site import Call, Outcome, Site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def call(site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run a command in this process, in the site's clean environment; the log is as it was afterwards."""
    logs, project = logging.getLogger(), logging.getLogger("nanokimi")
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)

    def call(*arguments: str, said: str = "", **env: str) -> Outcome:
        for name in list(os.environ):
            monkeypatch.delenv(name)
        for name, value in site.environ(**env).items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(site.home)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(said.encode())))
        monkeypatch.syspath_prepend(site.folder / "packages")
        capsys.readouterr()
        before, levels = logs.handlers[:], (logs.level, project.level)
        try:
            code = run(arguments)
        finally:
            logs.handlers[:] = before
            logs.setLevel(levels[0])
            project.setLevel(levels[1])
            logging.captureWarnings(False)
        out, err = capsys.readouterr()
        return Outcome(code, out, err)

    return call
