"""What the tests of the core and of every plugin share: the fixtures, and the rule about tests that need a server."""

from __future__ import annotations

import functools
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from testbed.cloud import Cloud

pytest_plugins = ["testbed.engine", "testbed.leak_watch", "whatsapp_figures"]

CI = os.environ.get("CI", "").lower() in {"1", "true", "yes"}
ENGINE_SECONDS = 5


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    """The model API and the login server, on this machine."""
    with Cloud() as servers:
        yield servers


@functools.cache
def why_no_engine() -> str | None:
    """Say why tests can't use a Docker Engine; ``None`` when they can. A machine is asked once.

    Asked without the docker package, which leaves a socket open when nobody listens. Only an engine on this machine
    will do: the tests' containers mount its folders and call its loopback.
    """
    host = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if not host.startswith("unix://"):
        return f"the Docker Engine at {host} is not on this machine"
    try:
        with socket.socket(socket.AF_UNIX) as engine:
            engine.settimeout(ENGINE_SECONDS)
            engine.connect(host.removeprefix("unix://"))
            engine.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            answer = engine.recv(64).decode("latin-1")
    except OSError as error:
        return f"no Docker Engine answers at {host}: {error}"
    return None if " 200 " in answer else f"the Docker Engine at {host} answers {answer!r}"


def why_no_ircd() -> str | None:
    """Say why tests can't start an IRC server; ``None`` when they can."""
    return None if shutil.which("ngircd", path=f"{os.environ.get('PATH', '')}:/usr/sbin") else "ngircd isn't installed"


@functools.cache
def why_no_whatsapp() -> str | None:
    """Say why tests can't use the WhatsApp library; ``None`` when they can. It is loaded in another process."""
    command = [sys.executable, "-W", "ignore", "-c", "import neonize"]
    tried = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    said = (tried.stderr.strip().splitlines() or [""])[-1]
    return f"the WhatsApp library can't be loaded: {said}" if tried.returncode else None


NEEDS: dict[str, Callable[[], str | None]] = {"engine": why_no_engine, "ircd": why_no_ircd, "whatsapp": why_no_whatsapp}
"""By their markers: what tests need, each with what says why it isn't there."""


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose marker says that it needs something that isn't there."""
    for marker, why_not in NEEDS.items():
        if item.get_closest_marker(marker) and (reason := why_not()):
            pytest.skip(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Count a skipped test with such a marker as failed in CI: there, nothing may stay unseen."""
    report = yield
    marker = next((marker for marker in NEEDS if item.get_closest_marker(marker)), None)
    if CI and report.skipped and not hasattr(report, "wasxfail") and marker and not _does_not_apply(report):
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not allow for a test marked {marker}: {report.longrepr}"
    return report


def _does_not_apply(report: pytest.TestReport) -> bool:
    """Whether a conformance check found nothing to look at: the plugin doesn't claim what it is about."""
    return isinstance(report.longrepr, tuple) and Path(report.longrepr[0]).match("testing/suites.py")
