"""A service that runs in a process of its own while commands talk to it."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from testbed.site import SECONDS, Site

DESK = """
transports = ["desk"]
{top}
[plugins.desk]
out = "{out}"
say = {say}
{tables}
"""


def set_up(site: Site, *, say: str = '["hello"]', top: str = "", tables: str = '[chats."desk:*"]') -> None:
    """Write a toml with the transport ``desk``; answers go to ``home/out``."""
    site.toml(DESK.format(top=top, out=site.home / "out", say=say, tables=tables))


def with_lab(site: Site) -> None:
    site.ours("lab")
    folder = site.data / "plugins" / "lab"
    folder.mkdir(parents=True)
    (folder / "image").touch()


@contextmanager
def service(site: Site, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run ``nanokimi run`` until the block ends."""
    with site.start("run", *arguments) as process:
        log_until(process, "desk is connected")
        yield process


def log_until(process: subprocess.Popen[str], text: str) -> str:
    """Read the log until there is this text; gives what was read."""
    assert process.stderr is not None
    said = ""
    deadline = time.monotonic() + SECONDS
    while text not in said:
        assert time.monotonic() < deadline, said
        line = process.stderr.readline()
        assert line, f"{text!r} never came: {said}"
        said += line
    return said


def until(site: Site, holds: Callable[[Any], bool], *arguments: str) -> Any:
    """Ask a command with ``--json`` until its answer is as wanted; gives the answer."""
    deadline = time.monotonic() + SECONDS
    looking = replace(site, measured=False)
    while True:
        done = looking.run(*arguments, "--json")
        answer = json.loads(done.stdout)
        if holds(answer):
            return answer
        assert time.monotonic() < deadline, done.stdout
