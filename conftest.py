"""What the tests of the core and of every plugin share: the fixtures, and the rule about tests that need Docker."""

from __future__ import annotations

import functools
import os
import socket
from collections.abc import Generator, Iterator

import pytest

from testbed.cloud import Cloud

pytest_plugins = ["testbed.engine"]

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


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test marked ``engine`` where there is none."""
    if item.get_closest_marker("engine") and (reason := why_no_engine()):
        pytest.skip(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Count a skipped test marked ``engine`` as failed in CI: there, nothing may stay unseen."""
    report = yield
    if CI and report.skipped and not hasattr(report, "wasxfail") and item.get_closest_marker("engine"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not allow for a test marked engine: {report.longrepr}"
    return report
